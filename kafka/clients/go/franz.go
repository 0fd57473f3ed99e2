package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// franz-go.
type franzSteps struct {
	bootstrap string
	admin     *kadm.Client
	ctx       context.Context
}

func franz(bootstrap string, arguments []string) {
	f := franzSteps{bootstrap: bootstrap, ctx: context.Background()}
	if len(arguments) > 0 {
		f.join(arguments[1], arguments[2])
		waitForTheParent()
	}
	f.admin = kadm.NewClient(f.client())
	f.codecsAndAcks()
	f.seek()
	f.commitAndResume()
	f.resetWhenOutOfRange()
	f.groupWithACrash()
	f.cooperative()
	f.staticMember()
	f.administration()
	f.transactions()
	f.securedListeners()
}

func outcome(err error) string {
	var known *kerr.Error
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &known):
		return known.Message
	default:
		return err.Error()
	}
}

func (f *franzSteps) client(options ...kgo.Opt) *kgo.Client {
	options = append(options, kgo.SeedBrokers(f.bootstrap), kgo.FetchMaxWait(100*time.Millisecond))
	return must(kgo.NewClient(options...))
}

func (f *franzSteps) create(partitions int32, configs map[string]string) string {
	topic := fresh("f")
	check(f.createNamed(topic, partitions, configs))
	return topic
}

func (f *franzSteps) createNamed(topic string, partitions int32, configs map[string]string) error {
	pointers := map[string]*string{}
	for name, value := range configs {
		pointers[name] = &value
	}
	_, err := f.admin.CreateTopic(f.ctx, partitions, 1, pointers, topic)
	return err
}

func (f *franzSteps) filled(options ...kgo.Opt) string {
	topic := f.create(1, nil)
	producer := f.client(append(options, kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	defer producer.Close()
	var sent []*kgo.Record
	for i := range records {
		record := &kgo.Record{Topic: topic, Key: key(i), Value: value(i), Timestamp: timestamp(i)}
		for _, one := range headers(i) {
			record.Headers = append(record.Headers, kgo.RecordHeader{Key: one.name, Value: one.value})
		}
		sent = append(sent, record)
	}
	check(producer.ProduceSync(f.ctx, sent...).FirstErr())
	return topic
}

func (f *franzSteps) read(reader *kgo.Client, count int) []*kgo.Record {
	ctx, cancel := context.WithTimeout(f.ctx, limit)
	defer cancel()
	var found []*kgo.Record
	for len(found) < count {
		fetches := reader.PollRecords(ctx, count-len(found))
		check(fetches.Err())
		found = append(found, fetches.Records()...)
	}
	return found
}

func at(topic string, offset kgo.Offset) kgo.Opt {
	return kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: offset}})
}

func (f *franzSteps) codecsAndAcks() {
	codecs := []kgo.CompressionCodec{
		kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()}
	for i, name := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		for acks, option := range []kgo.Acks{kgo.NoAck(), kgo.LeaderAck(), kgo.AllISRAcks()} {
			options := []kgo.Opt{kgo.ProducerBatchCompression(codecs[i]), kgo.RequiredAcks(option)}
			if acks < 2 {
				options = append(options, kgo.DisableIdempotentWrite())
			}
			topic := f.filled(options...)
			reader := f.client(at(topic, kgo.NewOffset().AtStart()))
			var found []string
			for _, r := range f.read(reader, records) {
				var pairs []header
				for _, one := range r.Headers {
					pairs = append(pairs, header{one.Key, one.Value})
				}
				found = append(found, shown(r.Offset, r.Timestamp, r.Key, r.Value, pairs))
			}
			step(fmt.Sprintf("%s, acks %d", name, acks), compared(found))
			reader.Close()
		}
	}
}

func (f *franzSteps) seek() {
	topic := f.filled()
	reader := f.client(at(topic, kgo.NewOffset().At(15)))
	step("seek to 15", f.read(reader, 1)[0].Offset)
	reader.Close()
	first, end := must(f.admin.ListStartOffsets(f.ctx, topic)), must(f.admin.ListEndOffsets(f.ctx, topic))
	step("bounds", []int64{first[topic][0].Offset, end[topic][0].Offset})
	for _, one := range []struct {
		name string
		at   int64
	}{{"record 7", timestamp(7).UnixMilli()}, {"between", timestamp(7).UnixMilli() - 3}, {"after all", timestamp(99).UnixMilli()}} {
		found := must(f.admin.ListOffsetsAfterMilli(f.ctx, one.at, topic))
		step("offset at the time of "+one.name, found[topic][0].Offset)
	}
}

func (f *franzSteps) commitAndResume() {
	topic, group := f.filled(), fresh("g")
	reader := f.join(group, topic)
	f.read(reader, 1)
	offsets := kadm.OffsetsFromRecords(kgo.Record{Topic: topic, Offset: 11})
	offset := offsets[topic][0]
	offset.Metadata = "here"
	offsets.Add(offset)
	reader.CommitOffsetsSync(f.ctx, map[string]map[int32]kgo.EpochOffset{topic: {0: {Epoch: -1, Offset: 12}}}, nil)
	reader.Close()
	step("committed", must(f.admin.FetchOffsets(f.ctx, group))[topic][0].At)
	check(f.admin.CommitAllOffsets(f.ctx, group, offsets))
	committed := must(f.admin.FetchOffsets(f.ctx, group))[topic][0]
	step("committed by an administrator", fmt.Sprint(committed.At, " ", committed.Metadata))
	reader = f.join(group, topic)
	step("resumed at", f.read(reader, 1)[0].Offset)
	reader.Close()
	step("committed by no one", len(must(f.admin.FetchOffsets(f.ctx, fresh("g")))))
}

func (f *franzSteps) resetWhenOutOfRange() {
	topic := f.filled()
	reader := f.client(at(topic, kgo.NewOffset().At(5000)), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	step("reset to earliest", f.read(reader, 1)[0].Offset)
	reader.Close()
	reader = f.client(at(topic, kgo.NewOffset().At(5000)), kgo.ConsumeResetOffset(kgo.NoResetOffset()))
	ctx, cancel := context.WithTimeout(f.ctx, limit)
	defer cancel()
	step("reset by error", outcome(reader.PollFetches(ctx).Err()))
	reader.Close()
}

// What a member owns.
type owner struct {
	sync.Mutex
	owned    []int32
	revoked  []int32
	assigned int
}

func (o *owner) count() int {
	o.Lock()
	defer o.Unlock()
	return len(o.owned)
}

func (f *franzSteps) join(group, topic string, options ...kgo.Opt) *kgo.Client {
	return f.client(append([]kgo.Opt{
		kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.SessionTimeout(6 * time.Second), kgo.HeartbeatInterval(200 * time.Millisecond),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.Balancers(kgo.RangeBalancer()),
	}, options...)...)
}

func (f *franzSteps) member(group, topic string, options ...kgo.Opt) (*kgo.Client, *owner) {
	o := &owner{}
	lost := func(_ context.Context, _ *kgo.Client, gone map[string][]int32) {
		o.Lock()
		defer o.Unlock()
		o.revoked = append(o.revoked, gone[topic]...)
		o.owned = slices.DeleteFunc(o.owned, func(one int32) bool { return slices.Contains(gone[topic], one) })
	}
	return f.join(group, topic, append(options,
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, added map[string][]int32) {
			o.Lock()
			defer o.Unlock()
			o.assigned++
			o.owned = append(o.owned, added[topic]...)
		}),
		kgo.OnPartitionsRevoked(lost), kgo.OnPartitionsLost(lost))...), o
}

func settle(each []int, members ...*owner) []int {
	until(fmt.Sprint("a balance of ", each), func() bool {
		for i, one := range members {
			if one.count() != each[i] {
				return false
			}
		}
		return true
	})
	return each
}

func (f *franzSteps) groupWithACrash() {
	topic, group := f.create(6, nil), fresh("g")
	first, one := f.member(group, topic)
	second, other := f.member(group, topic)
	kill := startMember("member", group, topic)
	step("group of three", settle([]int{2, 2}, one, other))
	kill()
	step("after a crash", settle([]int{3, 3}, one, other))
	second.Close()
	step("after a leave", settle([]int{6}, one))
	producer := f.client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	var sent []*kgo.Record
	for i := range 60 {
		sent = append(sent, &kgo.Record{Topic: topic, Value: []byte(strconv.Itoa(i)), Partition: int32(i % 6)})
	}
	check(producer.ProduceSync(f.ctx, sent...).FirstErr())
	producer.Close()
	seen := map[string]bool{}
	for _, record := range f.read(first, 60) {
		seen[string(record.Value)] = true
	}
	step("read by the group", len(seen) == 60)
	first.Close()
}

func (f *franzSteps) cooperative() {
	topic, group := f.create(6, nil), fresh("g")
	balancer := kgo.Balancers(kgo.CooperativeStickyBalancer())
	first, one := f.member(group, topic, balancer)
	settle([]int{6}, one)
	second, two := f.member(group, topic, balancer)
	third, three := f.member(group, topic, balancer)
	step("cooperative", settle([]int{2, 2, 2}, one, two, three))
	one.Lock()
	kept := !slices.ContainsFunc(one.owned, func(owned int32) bool { return slices.Contains(one.revoked, owned) })
	one.Unlock()
	step("partitions of the first", map[bool]string{true: "kept", false: "taken away"}[kept])
	for _, member := range []*kgo.Client{first, second, third} {
		member.Close()
	}
}

func (f *franzSteps) staticMember() {
	topic, group := f.create(4, nil), fresh("g")
	stays, one := f.member(group, topic, kgo.InstanceID("stays"))
	returns, two := f.member(group, topic, kgo.InstanceID("returns"))
	settle([]int{2, 2}, one, two)
	owned, before := slices.Clone(two.owned), one.assigned
	returns.Close()
	returns, two = f.member(group, topic, kgo.InstanceID("returns"))
	settle([]int{2, 2}, one, two)
	slices.Sort(owned)
	slices.Sort(two.owned)
	step("static member returns to its partitions", slices.Equal(owned, two.owned))
	step("rebalances of the other", one.assigned-before)
	stays.Close()
	returns.Close()
}

func (f *franzSteps) administration() {
	topic := f.create(2, map[string]string{"retention.ms": "60000"})
	step("create again", outcome(f.createNamed(topic, 1, nil)))
	step("create with a bad name", outcome(f.createNamed("a b", 1, nil)))
	step("create without partitions", outcome(f.createNamed(fresh("f"), 0, nil)))
	step("create with an unknown configuration", outcome(f.createNamed(fresh("f"), 1, map[string]string{"no.such": "1"})))
	step("create with a bad value", outcome(f.createNamed(fresh("f"), 1, map[string]string{"retention.ms": "x"})))
	described := must(f.admin.DescribeTopicConfigs(f.ctx, topic))[0].Configs
	for _, name := range []string{"retention.ms", "cleanup.policy", "max.message.bytes"} {
		for _, config := range described {
			if config.Key == name {
				step("described "+name, config.MaybeValue()+" "+config.Source.String())
			}
		}
	}
	step("configurations", len(described))
	for _, count := range []int{5, 3} {
		changed, err := f.admin.UpdatePartitions(f.ctx, count, topic)
		if err == nil {
			err = changed[topic].Err
		}
		step(fmt.Sprint("partitions to ", count), outcome(err))
	}
	step("partitions", len(must(f.admin.ListTopics(f.ctx, topic))[topic].Partitions))
	value := "120000"
	change := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: &value}}
	altered, err := f.admin.AlterTopicConfigs(f.ctx, change, topic)
	if err == nil {
		err = altered[0].Err
	}
	step("alter a configuration", outcome(err))
	full := f.filled()
	for _, before := range []int64{5, 3, records + 1} {
		var offsets kadm.Offsets
		offsets.AddOffset(full, 0, before, -1)
		deleted := must(f.admin.DeleteRecords(f.ctx, offsets))[full][0]
		step(fmt.Sprint("delete records before ", before), fmt.Sprint(deleted.LowWatermark, " ", outcome(deleted.Err)))
	}
	group := fresh("g")
	reader := f.join(group, full)
	step("first after that", f.read(reader, 1)[0].Offset)
	reader.CommitOffsetsSync(f.ctx, map[string]map[int32]kgo.EpochOffset{full: {0: {Epoch: -1, Offset: 9}}}, nil)
	description := must(f.admin.DescribeGroups(f.ctx, group))[group]
	step("group", fmt.Sprint(description.State, " ", len(description.Members), " ", description.Protocol))
	remove := func() string { return outcome(must(f.admin.DeleteGroups(f.ctx, group))[group].Err) }
	step("delete a group that has members", remove())
	reader.Close()
	step("group listed", must(f.admin.ListGroups(f.ctx))[group].State)
	step("offset of the group", must(f.admin.FetchOffsets(f.ctx, group))[full][0].At)
	var forgotten kadm.TopicsSet
	forgotten.Add(full, 0)
	gone, err := f.admin.DeleteOffsets(f.ctx, group, forgotten)
	if err == nil {
		err = gone[full][0]
	}
	step("delete an offset", outcome(err))
	step("delete the group", remove())
	step("delete it again", remove())
	step("nodes", must(f.admin.ListBrokers(f.ctx)).NodeIDs())
	for _, name := range []string{"delete a topic", "delete it again"} {
		step(name, outcome(must(f.admin.DeleteTopics(f.ctx, topic))[topic].Err))
	}
	compacted := f.create(1, map[string]string{"cleanup.policy": "compact"})
	producer := f.client()
	for _, one := range []struct {
		name string
		key  []byte
	}{{"with", []byte("k")}, {"without", nil}} {
		sent := &kgo.Record{Topic: compacted, Key: one.key, Value: []byte("v")}
		step("compacted, "+one.name+" a key", outcome(producer.ProduceSync(f.ctx, sent).FirstErr()))
	}
	producer.Close()
}

func (f *franzSteps) transactions() {
	producer := f.client(kgo.TransactionalID(fresh("t")), kgo.DefaultProduceTopic(f.create(1, nil)))
	start := time.Now()
	err := producer.BeginTransaction()
	if err == nil {
		err = producer.ProduceSync(f.ctx, kgo.StringRecord("v")).FirstErr()
	}
	if err != nil {
		step("transactions", outcome(err)+" "+within(5, start))
	} else {
		step("transactions", outcome(producer.EndTransaction(f.ctx, kgo.TryCommit)))
	}
}

// The listeners with TLS or SASL, in the environment as PROTOCOL=ADDRESS.
func (f *franzSteps) securedListeners() {
	for _, one := range strings.Fields(os.Getenv("SECURED")) {
		protocol, address, _ := strings.Cut(one, "=")
		if protocol == "SSL" {
			f.securedListener(protocol, address, "")
			continue
		}
		for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256"} {
			f.securedListener(protocol, address, mechanism)
		}
	}
	os.Exit(0)
}

func (f *franzSteps) securedListener(protocol, address, mechanism string) {
	name := strings.TrimSuffix(protocol+", "+mechanism, ", ")
	topic := f.create(1, nil)
	options := func(password string) []kgo.Opt {
		options := []kgo.Opt{kgo.SeedBrokers(address)}
		if strings.HasSuffix(protocol, "SSL") {
			roots := x509.NewCertPool()
			roots.AppendCertsFromPEM(must(os.ReadFile(os.Getenv("CERTIFICATE"))))
			options = append(options, kgo.DialTLSConfig(&tls.Config{RootCAs: roots}))
		}
		switch mechanism {
		case "PLAIN":
			options = append(options, kgo.SASL(plain.Auth{User: "alice", Pass: password}.AsMechanism()))
		case "SCRAM-SHA-256":
			options = append(options, kgo.SASL(scram.Auth{User: "alice", Pass: password}.AsSha256Mechanism()))
		}
		return options
	}
	ctx, cancel := context.WithTimeout(f.ctx, limit)
	defer cancel()
	right := must(kgo.NewClient(append(options("alice-secret"), at(topic, kgo.NewOffset().AtStart()))...))
	sent := right.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte("v")}).FirstErr()
	step(name, fmt.Sprint(outcome(sent), " ", string(f.read(right, 1)[0].Value)))
	right.Close()
	if mechanism != "" {
		start := time.Now()
		wrong := must(kgo.NewClient(options("wrong")...))
		err := wrong.Ping(ctx)
		step(name+", a wrong password", outcome(err)+" "+within(10, start))
		wrong.Close()
	}
}
