// Package redisscript issues vouchers in Redis: one Lua script looks the key up, checks the template's stock and the
// user's limit, counts both and appends the voucher to a stream.
//
// Redis runs scripts one after the other, so no two of them get into each other's way, and it needs no locks. What an
// answer is worth depends on appendfsync: with "always" Redis syncs its append-only file before it answers what it has
// read in one turn of its loop, so that many callers share a sync; with "everysec" a power cut takes up to the last
// second of issues that were answered, or two when the disk is slow. All state is kept in memory, and the stream grows
// with every issue.
package redisscript

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"faquan/bench/peers/peer"
)

//go:embed issue.lua
var source string

// Client is how requests reach the server.
type Client string

// The ways of go-redis.
const (
	Pool         Client = "pool"         // a connection for each request that is under way
	AutoPipeline Client = "autopipeline" // callers at the same time share a pipeline on one connection
)

// Peer is the script on a server of its own.
type Peer struct {
	server    *Server
	client    *redis.Client
	evaluate  redis.Scripter
	script    *redis.Script
	how       Client
	templates []peer.Template
}

// Open starts a server and connects to it with so many connections, which only [Pool] uses all.
func Open(ctx context.Context, program string, sync Sync, how Client, connections int) (*Peer, error) {
	server, err := StartServer(program, sync)
	if err != nil {
		return nil, err
	}
	p := &Peer{server: server, how: how, script: redis.NewScript(source)}
	// A caller waits as long as it takes; sending again is safe, because the script knows its key.
	p.client = redis.NewClient(&redis.Options{
		Addr: server.address, PoolSize: connections, ReadTimeout: time.Minute, PoolTimeout: time.Minute,
	})
	p.evaluate = p.client
	if how == AutoPipeline {
		p.evaluate, err = p.client.AutoPipeline()
	}
	if err == nil {
		err = p.script.Load(ctx, p.client).Err()
	}
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// About reads the setting of the server that runs.
func (p *Peer) About(ctx context.Context) (peer.About, error) {
	a := peer.About{How: "Redis, a Lua script per issue, an append-only file", Settings: map[string]string{
		"client": string(p.how), "connections": strconv.Itoa(p.client.Options().PoolSize),
	}}
	for _, name := range []string{"appendonly", "appendfsync"} {
		value, err := p.client.ConfigGet(ctx, name).Result()
		if err != nil {
			return a, err
		}
		a.Settings[name] = value[name]
	}
	info, err := p.client.InfoMap(ctx, "server").Result()
	if err != nil {
		return a, err
	}
	a.Settings["server_version"] = info["Server"]["redis_version"]
	a.Name = "redis-" + a.Settings["appendfsync"]
	a.Synced = a.Settings["appendonly"] == "yes" && a.Settings["appendfsync"] == string(Always)
	a.Durability = "each issue is synced before its answer"
	if !a.Synced {
		a.Durability = "a power cut takes up to the last second of answered issues, or two"
	}
	return a, nil
}

const stream = "vouchers"

func templateKey(id int64) string { return "template:" + strconv.FormatInt(id, 10) }

// Offer writes a hash for each template.
func (p *Peer) Offer(ctx context.Context, templates []peer.Template) error {
	p.templates = templates
	_, err := p.client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for _, t := range templates {
			pipe.HSet(ctx, templateKey(t.ID), "stock", t.Stock, "per_user", t.PerUser, "issued", 0)
		}
		return nil
	})
	return err
}

// Issue runs the script.
func (p *Peer) Issue(ctx context.Context, r peer.Request) (peer.Answer, error) {
	template, user := strconv.FormatInt(r.Template, 10), strconv.FormatInt(r.User, 10)
	keys := []string{"key:" + r.Key, templateKey(r.Template), "user:" + template + ":" + user, stream}
	reply, err := p.script.EvalSha(ctx, p.evaluate, keys, r.Key, template, user).Slice()
	if err != nil {
		return 0, err
	}
	answer, ok := reply[0].(int64)
	if !ok || answer < int64(peer.Issued) || answer > int64(peer.OverLimit) {
		return 0, fmt.Errorf("the script says %v", reply)
	}
	return peer.Answer(answer), nil
}

// Vouchers reads the stream.
func (p *Peer) Vouchers(ctx context.Context, each func(peer.Voucher) error) error {
	const page = 10_000
	for from := "-"; ; {
		messages, err := p.client.XRangeN(ctx, stream, from, "+", page).Result()
		if err != nil {
			return err
		}
		for _, m := range messages {
			v, err := voucher(m.Values)
			if err == nil {
				err = each(v)
			}
			if err != nil {
				return fmt.Errorf("voucher %s: %w", m.ID, err)
			}
		}
		if len(messages) < page {
			return nil
		}
		from = "(" + messages[page-1].ID
	}
}

func voucher(fields map[string]any) (peer.Voucher, error) {
	text := func(name string) string { s, _ := fields[name].(string); return s }
	template, err1 := strconv.ParseInt(text("template"), 10, 64)
	user, err2 := strconv.ParseInt(text("user"), 10, 64)
	return peer.Voucher{Key: text("key"), Template: template, User: user}, errors.Join(err1, err2)
}

// Counted reads the counters of the templates.
func (p *Peer) Counted(ctx context.Context) (map[int64]int64, error) {
	counted := map[int64]int64{}
	for _, t := range p.templates {
		n, err := p.client.HGet(ctx, templateKey(t.ID), "issued").Int64()
		if err != nil {
			return nil, err
		}
		counted[t.ID] = n
	}
	return counted, nil
}

// ServerCPU returns the server's, with that of the processes in which it rewrites its file.
func (p *Peer) ServerCPU() (time.Duration, bool) { return peer.CPU(p.server.PID()) }

// Close ends the server.
func (p *Peer) Close() error { return errors.Join(p.client.Close(), p.server.Close()) }
