package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"faquan/internal/bench"
	"faquan/internal/benefit"
	"faquan/internal/catalog"
	"faquan/internal/config"
	"faquan/internal/gateway"
	"faquan/internal/gateway/top"
	"faquan/internal/gateway/top/wire"
	"faquan/internal/id"
	"faquan/internal/issuing"
	"faquan/internal/store"
)

// benchTOPCatalogue has one app, a hot template and one without stock, each in an activity without guard.
const benchTOPCatalogue = `
merchants: [{name: bench, recipients: open, seller_id: 1001}]
apps:
  - {name: bench, merchant: bench, app_key: "2026000001", app_secret: bench-secret}
templates:
  - {name: hot, merchant: bench, kind: REDUCTION, biz_id: "1", reduction: "10.50", threshold: "100", valid: {days: 30}, status: ACTIVE}
  - {name: none, merchant: bench, kind: REDUCTION, biz_id: "2", reduction: "10.50", threshold: "100", valid: {days: 30}, stock: {count: 0}, status: ACTIVE}
activities:
  - {name: hot, merchant: bench, relation_id: 1, guard: off, status: ACTIVE, items: [{detail_id: 1, template: hot, benefit_type: 1}]}
  - {name: none, merchant: bench, relation_id: 2, guard: off, status: ACTIVE, items: [{detail_id: 2, template: none, benefit_type: 1}]}
`

// benchTOP serves a platform of its own and puts the load on its TOP gateway.
func benchTOP(ctx context.Context, load *benchLoad) error {
	return load.serve(ctx, benchTOPCatalogue, func(s *server, c *config.Config) error {
		if err := benchUsers(ctx, s, load.users); err != nil {
			return err
		}
		o := bench.TopOptions{
			Gateway: strings.TrimPrefix(s.url, "http://"), Path: topPath, Store: load.name, Dir: load.disk,
			Connections: load.connections, Rounds: load.rounds, Seconds: load.seconds, Out: load.out,
			Issue:   func(n int) string { return benchForm(n, load.users, 1) },
			SoldOut: func(n int) string { return benchForm(n, load.users, 2) },
			Issued:  `"is_success":true`, Refused: `"error_code":"STOCK_EMPTY"`,
		}
		gateways, err := newGateways(ctx, c, s.desk, nil, s.log)
		if err != nil {
			return err
		}
		apps := gateway.NewApps(s.desk.Issuer.Catalogue, s.log).WithSecrets(func(a *benefit.App) (string, error) {
			return catalog.AppSecret(a, s.desk.Box)
		})
		fixed := top.New(top.Options{
			Issuer: &fixedIssuer{real: s.desk.Issuer}, Apps: apps, Sessions: gateways.sessions,
			Log: s.log, Calls: levelOfCalls(c.Log.Calls), Deadline: c.Request.Timeout,
		})
		var stopFixed, stopEmpty func()
		if o.Fixed, stopFixed, err = serveHandler(fixed); err != nil {
			return err
		}
		defer stopFixed()
		contentType, answer, err := benchAnswer(o.Fixed, o.Issue(0))
		if err != nil {
			return err
		}
		if o.Empty, stopEmpty, err = serveHandler(emptyHandler(contentType, answer)); err != nil {
			return err
		}
		defer stopEmpty()
		return bench.RunTop(o)
	})
}

// benchForm is the signed form of the n-th call.
func benchForm(n, users, relation int) string {
	rel, key := strconv.Itoa(relation), strconv.Itoa(n)
	call := wire.Call{
		Method: activitySend, AppKey: "2026000001", Session: benchSession(n * 7919 % users), Format: wire.JSON,
		SignMethod: wire.HMACSHA256, At: time.Now(), Params: map[string]string{
			"single_benefit_request": `{"benefit_type":1,"send_count":1,"unique_id":"bench-20261122-` + key + `","relation_id":` + rel +
				`,"purchaser_id":1001,"detail_id":` + rel + `,"trace_id":"5e7541dc-89ec-4283-a943-` + key + `","biz_id":"` + rel + `"}`,
		},
	}
	return call.Form("bench-secret")
}

func benchSession(n int) string { return "bench-session-" + strconv.Itoa(n) }

// benchUsers makes the users and a session of each, past the catalogue file, which holds fewer.
func benchUsers(ctx context.Context, s *server, users int) error {
	const chunk = 2000
	for first := 0; first < users; first += chunk {
		err := s.desk.Issuer.Change(ctx, func(_ context.Context, _ store.Reader, cat *benefit.Catalogue, env benefit.Env) (*benefit.Changes, error) {
			app := cat.AppByAppKey("2026000001")
			c := &benefit.Changes{}
			for n := first; n < min(first+chunk, users); n++ {
				name := strconv.Itoa(n)
				u := &benefit.User{
					ID:          env.IDs.Block(time.Now().UnixMilli(), id.BucketOf(name), 1),
					Identifiers: []benefit.Identifier{{Type: "TAOBAO", Value: name}},
				}
				c.Users = append(c.Users, u)
				c.Sessions = append(c.Sessions, &benefit.Session{
					Digest: benefit.SessionDigest(benchSession(n)), App: app.ID, Merchant: app.Merchant, User: u.ID,
				})
			}
			return c, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// fixedIssuer issues once and gives that outcome ever after.
type fixedIssuer struct {
	real    *issuing.Issuer
	once    sync.Once
	outcome benefit.Outcome
	err     error
}

// Issue implements top.Issuer.
func (f *fixedIssuer) Issue(ctx context.Context, r *benefit.Request) (benefit.Outcome, error) {
	f.once.Do(func() { f.outcome, f.err = f.real.Issue(ctx, r) })
	return f.outcome, f.err
}

// benchAnswer makes one call and gives its answer.
func benchAnswer(address, form string) (contentType string, answer []byte, err error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Post("http://"+address+topPath, "application/x-www-form-urlencoded;charset=utf-8", strings.NewReader(form))
	if err != nil {
		return "", nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	if err == nil && !strings.Contains(string(answer), `"is_success":true`) {
		err = fmt.Errorf("the first call: %s", answer)
	}
	return resp.Header.Get("Content-Type"), answer, err
}
