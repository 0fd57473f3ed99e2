package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/IBM/sarama"
)

// Sarama: it has no cooperative rebalances.
type saramaRun struct {
	bootstrap []string
	admin     sarama.ClusterAdmin
	client    sarama.Client
}

func saramaSteps(bootstrap string, arguments []string) {
	s := saramaRun{bootstrap: []string{bootstrap}}
	if len(arguments) > 0 {
		s.member(arguments[1], arguments[2], "")
		waitForTheParent()
	}
	s.admin = must(sarama.NewClusterAdmin(s.bootstrap, s.config()))
	s.client = must(sarama.NewClient(s.bootstrap, s.config()))
	s.codecsAndAcks()
	s.seek()
	s.commitAndResume()
	s.outOfRange()
	s.groupWithACrash()
	s.staticMember()
	s.administration()
	s.transactions()
}

func (s *saramaRun) config() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.V2_8_0_0
	config.Producer.Return.Successes = true
	config.Producer.Partitioner = sarama.NewManualPartitioner
	config.Producer.Flush.Messages = records
	config.Producer.Flush.Frequency = 5 * time.Millisecond
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Enable = false
	config.Consumer.MaxWaitTime = 100 * time.Millisecond
	config.Consumer.Group.Session.Timeout = 6 * time.Second
	config.Consumer.Group.Heartbeat.Interval = 200 * time.Millisecond
	config.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{sarama.NewBalanceStrategyRange()}
	return config
}

func saramaOutcome(err error) string {
	var known sarama.KError
	var topic *sarama.TopicError
	var partition *sarama.TopicPartitionError
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &topic):
		return fmt.Sprint("error ", int(topic.Err))
	case errors.As(err, &partition):
		return fmt.Sprint("error ", int(partition.Err))
	case errors.As(err, &known):
		return fmt.Sprint("error ", int(known))
	default:
		return err.Error()
	}
}

func (s *saramaRun) createNamed(topic string, partitions int32, configs map[string]string) error {
	entries := map[string]*string{}
	for name, value := range configs {
		entries[name] = &value
	}
	return s.admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: 1, ConfigEntries: entries}, false)
}

func (s *saramaRun) create(partitions int32, configs map[string]string) string {
	topic := fresh("s")
	check(s.createNamed(topic, partitions, configs))
	return topic
}

func encoded(bytes []byte) sarama.Encoder {
	if bytes == nil {
		return nil
	}
	return sarama.ByteEncoder(bytes)
}

func (s *saramaRun) filled(codec sarama.CompressionCodec, acks sarama.RequiredAcks) string {
	topic := s.create(1, nil)
	config := s.config()
	config.Producer.Compression, config.Producer.RequiredAcks = codec, acks
	producer := must(sarama.NewSyncProducer(s.bootstrap, config))
	var sent []*sarama.ProducerMessage
	for i := range records {
		message := &sarama.ProducerMessage{Topic: topic, Key: encoded(key(i)), Value: encoded(value(i)), Timestamp: timestamp(i)}
		for _, one := range headers(i) {
			message.Headers = append(message.Headers, sarama.RecordHeader{Key: []byte(one.name), Value: one.value})
		}
		sent = append(sent, message)
	}
	check(producer.SendMessages(sent))
	check(producer.Close())
	return topic
}

func (s *saramaRun) read(topic string, from int64, count int) []*sarama.ConsumerMessage {
	consumer := must(sarama.NewConsumer(s.bootstrap, s.config()))
	defer consumer.Close()
	partition := must(consumer.ConsumePartition(topic, 0, from))
	defer partition.Close()
	var found []*sarama.ConsumerMessage
	for len(found) < count {
		select {
		case message := <-partition.Messages():
			found = append(found, message)
		case <-time.After(limit):
			panic("reading hangs")
		}
	}
	return found
}

func (s *saramaRun) codecsAndAcks() {
	for codec, name := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		for _, acks := range []sarama.RequiredAcks{sarama.NoResponse, sarama.WaitForLocal, sarama.WaitForAll} {
			topic := s.filled(sarama.CompressionCodec(codec), acks)
			var found []string
			for _, m := range s.read(topic, 0, records) {
				var pairs []header
				for _, one := range m.Headers {
					pairs = append(pairs, header{string(one.Key), one.Value})
				}
				found = append(found, shown(m.Offset, m.Timestamp, m.Key, m.Value, pairs))
			}
			step(fmt.Sprintf("%s, acks %d", name, acks), compared(found))
		}
	}
}

func (s *saramaRun) seek() {
	topic := s.filled(0, sarama.WaitForAll)
	step("seek to 15", s.read(topic, 15, 1)[0].Offset)
	offset := func(at int64) int64 { return must(s.client.GetOffset(topic, 0, at)) }
	step("bounds", []int64{offset(sarama.OffsetOldest), offset(sarama.OffsetNewest)})
	step("offset at the time of record 7", offset(timestamp(7).UnixMilli()))
	step("offset at the time of between", offset(timestamp(7).UnixMilli()-3))
	step("offset at the time of after all", offset(timestamp(99).UnixMilli()))
}

func (s *saramaRun) committed(group, topic string) *sarama.OffsetFetchResponseBlock {
	response := must(s.admin.ListConsumerGroupOffsets(group, map[string][]int32{topic: {0}}))
	return response.GetBlock(topic, 0)
}

func (s *saramaRun) commitAndResume() {
	topic, group := s.filled(0, sarama.WaitForAll), fresh("g")
	config := s.config()
	config.Consumer.Offsets.AutoCommit.Enable = true
	client := must(sarama.NewClient(s.bootstrap, config))
	manager := must(sarama.NewOffsetManagerFromClient(group, client))
	partition := must(manager.ManagePartition(topic, 0))
	partition.MarkOffset(12, "here")
	manager.Commit()
	check(partition.Close())
	check(manager.Close())
	block := s.committed(group, topic)
	step("committed", fmt.Sprint(block.Offset, " ", block.Metadata))
	member := s.member(group, topic, "")
	until("reading", func() bool { return member.count() > 0 })
	step("resumed at", member.found[0].Offset)
	member.stop()
	step("committed by no one", s.committed(fresh("g"), topic).Offset)
}

func (s *saramaRun) outOfRange() {
	topic := s.filled(0, sarama.WaitForAll)
	consumer := must(sarama.NewConsumer(s.bootstrap, s.config()))
	_, err := consumer.ConsumePartition(topic, 0, 5000)
	step("out of range", saramaOutcome(err))
	check(consumer.Close())
}

// A member of a group, what it owns and what it has read.
type saramaMember struct {
	sync.Mutex
	group  sarama.ConsumerGroup
	cancel context.CancelFunc
	done   chan struct{}
	owned  []int32
	joins  int
	found  []*sarama.ConsumerMessage
}

func (m *saramaMember) Setup(session sarama.ConsumerGroupSession) error {
	m.Lock()
	defer m.Unlock()
	m.joins++
	m.owned = nil
	for _, partitions := range session.Claims() {
		m.owned = partitions
	}
	return nil
}

func (m *saramaMember) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (m *saramaMember) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case message, open := <-claim.Messages():
			if !open {
				return nil
			}
			m.Lock()
			m.found = append(m.found, message)
			m.Unlock()
		case <-session.Context().Done():
			return nil
		}
	}
}

func (m *saramaMember) count() int {
	m.Lock()
	defer m.Unlock()
	return len(m.found)
}

func (m *saramaMember) stop() {
	m.cancel()
	<-m.done
	check(m.group.Close())
}

func (s *saramaRun) member(group, topic, instance string) *saramaMember {
	config := s.config()
	config.Consumer.Group.InstanceId = instance
	ctx, cancel := context.WithCancel(context.Background())
	m := &saramaMember{group: must(sarama.NewConsumerGroup(s.bootstrap, group, config)), cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(m.done)
		for ctx.Err() == nil {
			check(m.group.Consume(ctx, []string{topic}, m))
		}
	}()
	return m
}

func balance(each []int, members ...*saramaMember) []int {
	until(fmt.Sprint("a balance of ", each), func() bool {
		for i, one := range members {
			one.Lock()
			owned := len(one.owned)
			one.Unlock()
			if owned != each[i] {
				return false
			}
		}
		return true
	})
	return each
}

func (s *saramaRun) groupWithACrash() {
	topic, group := s.create(6, nil), fresh("g")
	one, other := s.member(group, topic, ""), s.member(group, topic, "")
	kill := startMember("member", group, topic)
	step("group of three", balance([]int{2, 2}, one, other))
	kill()
	step("after a crash", balance([]int{3, 3}, one, other))
	other.stop()
	step("after a leave", balance([]int{6}, one))
	producer := must(sarama.NewSyncProducer(s.bootstrap, s.config()))
	var sent []*sarama.ProducerMessage
	for i := range 60 {
		sent = append(sent, &sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder(strconv.Itoa(i)), Partition: int32(i % 6)})
	}
	check(producer.SendMessages(sent))
	check(producer.Close())
	until("reading by the group", func() bool { return one.count() >= 60 })
	seen := map[string]bool{}
	for _, message := range one.found {
		seen[string(message.Value)] = true
	}
	step("read by the group", len(seen) == 60)
	one.stop()
}

func (s *saramaRun) staticMember() {
	topic, group := s.create(4, nil), fresh("g")
	stays, returns := s.member(group, topic, "stays"), s.member(group, topic, "returns")
	balance([]int{2, 2}, stays, returns)
	owned, before := fmt.Sprint(returns.owned), stays.joins
	returns.stop()
	returns = s.member(group, topic, "returns")
	balance([]int{2, 2}, stays, returns)
	step("static member returns to its partitions", owned == fmt.Sprint(returns.owned))
	step("rebalances of the other", stays.joins-before)
	stays.stop()
	returns.stop()
}

func (s *saramaRun) administration() {
	topic := s.create(2, map[string]string{"retention.ms": "60000"})
	step("create again", saramaOutcome(s.createNamed(topic, 1, nil)))
	step("create with a bad name", saramaOutcome(s.createNamed("a b", 1, nil)))
	step("create without partitions", saramaOutcome(s.createNamed(fresh("s"), 0, nil)))
	step("create with an unknown configuration", saramaOutcome(s.createNamed(fresh("s"), 1, map[string]string{"no.such": "1"})))
	step("create with a bad value", saramaOutcome(s.createNamed(fresh("s"), 1, map[string]string{"retention.ms": "x"})))
	described := must(s.admin.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic}))
	for _, name := range []string{"retention.ms", "cleanup.policy", "max.message.bytes"} {
		for _, config := range described {
			if config.Name == name {
				step("described "+name, config.Value+" "+config.Source.String())
			}
		}
	}
	step("configurations", len(described))
	for _, count := range []int32{5, 3} {
		step(fmt.Sprint("partitions to ", count), saramaOutcome(s.admin.CreatePartitions(topic, count, nil, false)))
	}
	step("partitions", len(must(s.admin.DescribeTopics([]string{topic}))[0].Partitions))
	value := "120000"
	set := map[string]sarama.IncrementalAlterConfigsEntry{"retention.ms": {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &value}}
	step("alter a configuration", saramaOutcome(s.admin.IncrementalAlterConfig(sarama.TopicResource, topic, set, false)))
	full := s.filled(0, sarama.WaitForAll)
	for _, before := range []int64{5, 3, records + 1} {
		step(fmt.Sprint("delete records before ", before), saramaOutcome(s.admin.DeleteRecords(full, map[int32]int64{0: before})))
	}
	group := fresh("g")
	member := s.member(group, full, "")
	until("reading", func() bool { return member.count() > 0 })
	step("first after that", member.found[0].Offset)
	description := must(s.admin.DescribeConsumerGroups([]string{group}))[0]
	step("group", fmt.Sprint(description.State, " ", len(description.Members), " ", description.Protocol))
	step("delete a group that has members", saramaOutcome(s.admin.DeleteConsumerGroup(group)))
	member.stop()
	step("group listed", must(s.admin.ListConsumerGroups())[group])
	step("delete the group", saramaOutcome(s.admin.DeleteConsumerGroup(group)))
	step("delete it again", saramaOutcome(s.admin.DeleteConsumerGroup(group)))
	nodes, controller, err := s.admin.DescribeCluster()
	check(err)
	step("nodes", fmt.Sprint(len(nodes), " ", controller))
	for _, name := range []string{"delete a topic", "delete it again"} {
		step(name, saramaOutcome(s.admin.DeleteTopic(topic)))
	}
	compacted := s.create(1, map[string]string{"cleanup.policy": "compact"})
	producer := must(sarama.NewSyncProducer(s.bootstrap, s.config()))
	for _, one := range []struct {
		name string
		key  []byte
	}{{"with", []byte("k")}, {"without", nil}} {
		_, _, err := producer.SendMessage(&sarama.ProducerMessage{Topic: compacted, Key: encoded(one.key), Value: sarama.StringEncoder("v")})
		step("compacted, "+one.name+" a key", saramaOutcome(err))
	}
	check(producer.Close())
}

func (s *saramaRun) transactions() {
	config := s.config()
	config.Producer.Transaction.ID = fresh("t")
	config.Producer.Idempotent = true
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Net.MaxOpenRequests = 1
	start := time.Now()
	producer, err := sarama.NewSyncProducer(s.bootstrap, config)
	if err != nil {
		step("transactions", saramaOutcome(err)+" "+within(5, start))
		return
	}
	step("transactions", saramaOutcome(producer.BeginTxn()))
}
