package main

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"time"

	"faquan/internal/benefit"
	"faquan/internal/engine"
	"faquan/internal/gateway/top"
	"faquan/internal/gateway/top/wire"
	"faquan/internal/id"
	"faquan/internal/store"
)

const (
	topAppKey    = "2026000001"
	topAppSecret = "bench-secret"
	topIssued    = `"is_success":true`          // in each answer of an issue
	topSoldOut   = `"error_code":"STOCK_EMPTY"` // in each answer of the activity without stock
)

// topCatalogue has one app, a hot template and one without stock, each in an activity without guard.
const topCatalogue = `
merchants: [{name: bench, recipients: open, seller_id: 1001}]
apps:
  - {name: bench, merchant: bench, app_key: "` + topAppKey + `", app_secret: ` + topAppSecret + `}
templates:
  - {name: hot, merchant: bench, kind: REDUCTION, biz_id: "1", reduction: "10.50", threshold: "100", valid: {days: 30}, status: ACTIVE}
  - {name: none, merchant: bench, kind: REDUCTION, biz_id: "2", reduction: "10.50", threshold: "100", valid: {days: 30}, stock: {count: 0}, status: ACTIVE}
activities:
  - {name: hot, merchant: bench, relation_id: 1, guard: off, status: ACTIVE, items: [{detail_id: 1, template: hot, benefit_type: 1}]}
  - {name: none, merchant: bench, relation_id: 2, guard: off, status: ACTIVE, items: [{detail_id: 2, template: none, benefit_type: 1}]}
`

// The relation_id of the two activities.
const (
	topHot   = 1
	topEmpty = 2
)

// topRing is how many refused calls are sent again and again. A refusal binds no key.
const topRing = 20_000

// newTOP prepares the load of the TOP gateway, and returns the catalogue that it needs.
func newTOP(b *gatewayBench) (catalogue, error) {
	call := func(relation int) func(n int) ([]byte, error) {
		return func(n int) ([]byte, error) {
			return postForm(b.program.address(), top.Path, topForm(n, b.users, relation)), nil
		}
	}
	refused := func() ([][]byte, error) { return signed(0, topRing, call(topEmpty)) }
	b.load = gatewayLoad{
		title: "TOP gateway, hmac-sha256",
		bounds: []bound{
			{"empty handler", b.emptyRate},
			{"sold out", func() (float64, error) {
				calls, err := refused()
				if err != nil {
					return 0, err
				}
				return b.spin(b.program.address(), calls, b.seconds, []byte(topSoldOut))
			}},
		},
		call: call(topHot),
		check: func(answers [][]byte) (int, error) {
			for _, answer := range answers {
				if !bytes.Contains(answer, []byte(topIssued)) {
					return 0, fmt.Errorf("not issued: %s", answer)
				}
			}
			return len(answers), nil
		},
	}
	// The first call of a session reads it from the store, which is not what is measured.
	b.warm = func() error {
		calls, err := refused()
		if err == nil {
			_, _, err = b.closed(b.program.address(), calls)
		}
		return err
	}
	return catalogue{catalogueFile: []byte(topCatalogue)}, nil
}

// topForm returns the signed form of the n-th call.
func topForm(n, users, relation int) string {
	rel, key := strconv.Itoa(relation), strconv.Itoa(n)
	call := wire.Call{
		Method: "taobao.mobile.promotion.benefit.activity.send", AppKey: topAppKey, Session: topSession(n * 7919 % users),
		Format: wire.JSON, SignMethod: wire.HMACSHA256, At: time.Now(), Params: map[string]string{
			"single_benefit_request": `{"benefit_type":1,"send_count":1,"unique_id":"bench-20261122-` + key + `","relation_id":` + rel +
				`,"purchaser_id":1001,"detail_id":` + rel + `,"trace_id":"5e7541dc-89ec-4283-a943-` + key + `","biz_id":"` + rel + `"}`,
		},
	}
	return call.Form(topAppSecret)
}

func topSession(n int) string { return "bench-session-" + strconv.Itoa(n) }

// addUsers adds users and a session of each for the app of the catalogue.
func addUsers(ctx context.Context, e *engine.Engine, users int) error {
	const chunk = 2000
	for first := 0; first < users; first += chunk {
		err := e.Change(ctx, func(_ context.Context, _ store.Reader, cat *benefit.Catalogue, env benefit.Env) (*benefit.Changes, error) {
			app := cat.AppByAppKey(topAppKey)
			c := &benefit.Changes{}
			var sessions []*benefit.Session
			for n := first; n < min(first+chunk, users); n++ {
				name := strconv.Itoa(n)
				u := &benefit.User{
					ID:          env.IDs.Block(time.Now().UnixMilli(), id.BucketOf(name), 1),
					Identifiers: []benefit.Identifier{{Type: "TAOBAO", Value: name}},
				}
				c.Users = append(c.Users, u)
				sessions = append(sessions, &benefit.Session{
					Digest: benefit.SessionDigest(topSession(n)), App: app.ID, Merchant: app.Merchant, User: u.ID,
				})
			}
			c.Rows = benefit.RowsOf(benefit.Sessions.Rows(sessions...))
			return c, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
