package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const rounds = 10

// subscribeTimes measures how long it takes from the creation of a client, in a group of its own, to
// its first record: steps subscribe BOOTSTRAP
func subscribeTimes(bootstrap string, _ []string) {
	f := franzSteps{bootstrap: bootstrap, ctx: context.Background()}
	f.admin = kadm.NewClient(f.client())
	topic := f.filled()
	report("franz-go", func() {
		client := must(kgo.NewClient(
			kgo.SeedBrokers(bootstrap), kgo.ConsumerGroup(fresh("g")), kgo.ConsumeTopics(topic),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())))
		for client.PollFetches(f.ctx).NumRecords() == 0 {
		}
		go client.Close()
	})
	report("sarama", func() {
		config := sarama.NewConfig()
		config.Consumer.Offsets.Initial = sarama.OffsetOldest
		group := must(sarama.NewConsumerGroup([]string{bootstrap}, fresh("g"), config))
		first := make(chan struct{}, 1)
		go group.Consume(f.ctx, []string{topic}, firstRecord(first))
		<-first
		go group.Close()
	})
}

func report(client string, subscribe func()) {
	var took []time.Duration
	for range rounds {
		begin := time.Now()
		subscribe()
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	ms := func(one time.Duration) float64 { return one.Seconds() * 1000 }
	fmt.Printf("%s: %.1f ms (%.1f to %.1f)\n", client, ms(took[rounds/2]), ms(took[0]), ms(took[rounds-1]))
}

type firstRecord chan struct{}

func (firstRecord) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (firstRecord) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (f firstRecord) ConsumeClaim(_ sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for range claim.Messages() {
		select {
		case f <- struct{}{}:
		default:
		}
	}
	return nil
}
