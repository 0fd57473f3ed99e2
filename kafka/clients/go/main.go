// Kafka's clients for Go through the steps: steps franz|sarama BOOTSTRAP
//
// The steps and their lines are those of ../python/common.py.
package main

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

const (
	limit   = 60 * time.Second
	records = 20
)

var begin = time.UnixMilli(1_700_000_000_000)

type header struct {
	name  string
	value []byte
}

func fresh(prefix string) string {
	bytes := make([]byte, 6)
	rand.Read(bytes)
	return fmt.Sprintf("%s-%x", prefix, bytes)
}

func key(i int) []byte {
	if i%3 == 0 {
		return nil
	}
	return fmt.Appendf(nil, "k%d", i)
}

func value(i int) []byte {
	if i%7 == 0 && key(i) != nil {
		return nil
	}
	if i%5 == 0 {
		return []byte{}
	}
	return bytes.Repeat([]byte("v"), i*5)
}

func headers(i int) []header {
	if i%2 == 0 {
		return nil
	}
	return []header{{"trace", []byte("1")}, {"trace", []byte("2")}, {"empty", []byte{}}}
}

func timestamp(i int) time.Time {
	return begin.Add(time.Duration(10*i) * time.Millisecond)
}

func text(bytes []byte) string {
	if bytes == nil {
		return "null"
	}
	return fmt.Sprintf("%q", bytes)
}

func shown(offset int64, at time.Time, key, value []byte, headers []header) string {
	var pairs []string
	for _, one := range headers {
		pairs = append(pairs, fmt.Sprintf("%s=%q", one.name, one.value))
	}
	return fmt.Sprintf("%d %d %s %s %s", offset, at.UnixMilli(), text(key), text(value), strings.Join(pairs, ","))
}

func compared(found []string) string {
	for i, one := range found {
		sent := shown(int64(i), timestamp(i), key(i), value(i), headers(i))
		if one != sent {
			return fmt.Sprintf("%s for %s", one, sent)
		}
	}
	return fmt.Sprintf("%d as sent", len(found))
}

func step(name string, seen any) {
	fmt.Printf("%s: %v\n", name, seen)
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

func until(what string, condition func() bool) {
	for end := time.Now().Add(limit); !condition(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			panic(what + " hangs")
		}
	}
}

func within(seconds int, begin time.Time) string {
	if took := time.Since(begin); took > time.Duration(seconds)*time.Second {
		return fmt.Sprintf("after %v", took)
	}
	return fmt.Sprintf("within %d s", seconds)
}

// A member of a group in a process of its own, to be killed. Its input ends with this program, and
// then so does it.
func startMember(arguments ...string) (kill func()) {
	command := exec.Command(os.Args[0], append(os.Args[1:3:3], arguments...)...)
	command.Stderr = os.Stderr
	must(command.StdinPipe())
	check(command.Start())
	return func() {
		command.Process.Kill()
		command.Wait()
	}
}

func waitForTheParent() {
	os.Stdin.Read(make([]byte, 1))
	os.Exit(1)
}

func main() {
	run := map[string]func(string, []string){
		"franz": franz, "sarama": saramaSteps, "subscribe": subscribeTimes,
	}[os.Args[1]]
	run(os.Args[2], os.Args[3:])
}
