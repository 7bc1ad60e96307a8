package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"faquan/bench/peers/peer"
	"faquan/internal/pgtest"
)

// measured runs the command on private servers, small and short, and reads its lines.
func measured(t *testing.T, args ...string) []peer.Result {
	t.Helper()
	var out, errs bytes.Buffer
	args = append([]string{"--callers", "16", "--seconds", "1", "--users", "1000"}, args...)
	if err := run(context.Background(), args, &out, &errs); err != nil {
		t.Fatalf("%v\n%s%s", err, &out, &errs)
	}
	var all []peer.Result
	for lines := json.NewDecoder(&out); ; {
		var res peer.Result
		if err := lines.Decode(&res); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, res)
	}
}

// TestPeers runs every peer and expects each to be correct, and to tell how durable it is.
func TestPeers(t *testing.T) {
	synced := map[string]bool{}
	for _, res := range measured(t) {
		synced[res.Peer] = res.Synced
		if !res.Correct || res.Error != "" || len(res.Wrong) > 0 {
			t.Errorf("%s is wrong: %q %s", res.Peer, res.Wrong, res.Error)
		}
		if res.Issues < 50 || res.PerSecond < 50 || res.P50Millis <= 0 || res.P99Millis < res.P50Millis || res.ClientCPU <= 0 {
			t.Errorf("figures: %+v", res)
		}
		if res.ServerCPU == nil || *res.ServerCPU <= 0 {
			t.Errorf("%s: the server runs here and its processor time is not seen", res.Peer)
		}
		if res.Callers != 16 || res.Templates != 1 || res.Users != 1000 || res.How == "" || res.Durability == "" {
			t.Errorf("settings: %+v", res)
		}
		t.Logf("%-14s %6.0f/s p50 %.1f p99 %.1f ms", res.Peer, res.PerSecond, res.P50Millis, res.P99Millis)
	}
	want := map[string]bool{"naive": true, "naive-onetrip": true, "redis-always": true, "redis-everysec": false}
	if diff := cmp.Diff(want, synced); diff != "" {
		t.Errorf("which are synced (-want +got):\n%s", diff)
	}
}

// TestPool runs what TestPeers does not: a connection per request to Redis, and many templates.
func TestPool(t *testing.T) {
	res := measured(t, "--peers", "redis-always", "--redis-client", "pool", "--templates", "50")
	if len(res) != 1 || !res[0].Correct || res[0].Settings["client"] != "pool" {
		t.Errorf("%+v", res)
	}
}

// TestDatabase measures on a database that is named, of a server that does not sync: that is said, and nothing stays.
func TestDatabase(t *testing.T) {
	url := pgtest.Shared(t).Database(t)
	for _, res := range measured(t, "--peers", "naive,naive-onetrip", "--postgres", url, "--templates", "50", "--seconds", "0.2") {
		if res.Synced || !strings.HasPrefix(res.Durability, "none") || !res.Correct {
			t.Errorf("on a server without fsync: %+v", res)
		}
	}
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	var left int
	if err := conn.QueryRow(ctx, "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'faquan%'").Scan(&left); err != nil || left != 0 {
		t.Errorf("%d schemas stay, %v", left, err)
	}
}

func TestArguments(t *testing.T) {
	for args, want := range map[string]string{
		"--peers oracle":             `no peer "oracle"`,
		"--callers 1":                "--callers 1: two or more",
		"--seconds 0":                "must be above zero",
		"--redis-client telnet":      `"telnet"`,
		"more":                       `unexpected argument "more"`,
		"--redis-server /no/program": "redis-server, or name it with --redis-server",
	} {
		var out bytes.Buffer
		err := run(context.Background(), append([]string{"--peers", "redis-always"}, strings.Fields(args)...), &out, io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", args, err, want)
		}
	}
}

// TestUnopened: a peer that cannot be opened has its line too, and the others run.
func TestUnopened(t *testing.T) {
	var out bytes.Buffer
	err := run(context.Background(), []string{"--peers", "redis-always,redis-everysec", "--redis-server", "/no/program"}, &out, io.Discard)
	if err == nil || strings.Count(out.String(), `"correct":false`) != 2 || strings.Count(out.String(), `"error":"`) != 2 {
		t.Errorf("%v\n%s", err, &out)
	}
}
