package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"faquan/internal/benefit"
	"faquan/internal/control"
)

// decideFlags holds the flags of decide.
type decideFlags struct {
	app, scene, bizCode, userType, userID, requestID string
	acts, rights                                     []string
	explain, asJSON, unmasked                        bool
}

func newDecide() *cobra.Command {
	var (
		at location
		q  decideFlags
	)
	cmd := &cobra.Command{
		Use:   "decide",
		Short: "Ask what a scene would give a user, without giving it",
		Long: `Ask what alibaba.alsc.upp.right.decisionsend would issue now, without issuing it. Nothing is changed: no voucher, no
counter, no key.

With --explain every candidate is shown: whether it is open; its rule, the values that the rule read and its result;
and for each right the counters, the caps and limits that they are compared with, and the reason if there is no room;
then the strategy of the scene and what it chooses. A WEIGHTED scene draws by the key: give the --request-id of the
call in question. For a key that is bound already, the answer is what was decided then.

A process that serves the data directory is asked through its socket; otherwise the directory is opened. Identifiers of
people are masked unless --unmasked. The exit code is 0 when something would be issued, else 1.`,
		Example: `  faquan decide --explain --app shop --scene 1512AINNA61 --biz-code XXXX --user-type ALIPAY --user-id 2088302001456115
  faquan decide --json --app shop --scene 1512AINNA61 --biz-code XXXX --user-type ALIPAY --user-id 2088302001456115 \
      --act-codes b4d3rkj7d29kwlqg --rights b4d3rkj7d29kwlqg:220310200 --request-id order-1`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			question, err := q.question()
			if err != nil {
				return err
			}
			return openExisting(cmd.Context(), at, func(p control.Platform) error { return q.ask(cmd, p, question) })
		},
	}
	locationFlags(cmd, &at)
	clockFlag(cmd, &at.acceptClock)
	f := cmd.Flags()
	f.StringVar(&q.app, "app", "", "`NAME` of the calling app in the catalogue")
	f.StringVar(&q.scene, "scene", "", "scene_code")
	f.StringVar(&q.bizCode, "biz-code", "", "biz_code, which rules may read")
	f.StringVar(&q.userType, "user-type", benefit.AlipayID, "user_type of the recipient")
	f.StringVar(&q.userID, "user-id", "", "user_id of the recipient")
	f.StringSliceVar(&q.acts, "act-codes", nil, "only these activities")
	f.StringSliceVar(&q.rights, "rights", nil, "only these rights, each `ACT_CODE:RIGHT_ID`; one of the two may be empty")
	f.StringVar(&q.requestID, "request-id", "", "request_id; a new one when left out")
	f.BoolVar(&q.explain, "explain", false, "show every step")
	outputFlags(f, &q.asJSON, &q.unmasked)
	for _, name := range []string{"app", "scene", "user-id"} {
		_ = cmd.MarkFlagRequired(name)
	}
	return cmd
}

func (q *decideFlags) question() (*control.Question, error) {
	asked := benefit.Params{BizCode: q.bizCode, SceneCode: q.scene, ActCodes: slices.Compact(slices.Sorted(slices.Values(q.acts)))}
	for _, text := range q.rights {
		right, err := parseRight(text)
		if err != nil {
			return nil, err
		}
		asked.Rights = append(asked.Rights, right)
	}
	slices.SortFunc(asked.Rights, func(a, b benefit.ActRight) int {
		return cmp.Or(cmp.Compare(a.ActCode, b.ActCode), cmp.Compare(a.RightID, b.RightID))
	})
	asked.Rights = slices.Compact(asked.Rights)
	if known := benefit.CanonicalType(q.userType); known != "" {
		return nil, fmt.Errorf("--user-type %q must be written %s", q.userType, known)
	}
	return &control.Question{
		App: q.app, Scope: control.ScopeName{App: q.app, BizCode: q.bizCode},
		Request: benefit.Request{
			Key: cmp.Or(q.requestID, "decide-"+rand.Text()), Recipient: benefit.Identifier{Type: q.userType, Value: q.userID}, Params: asked,
			Fingerprint: asked.DecisionFingerprint(), Continues: true,
		},
	}, nil
}

// parseRight parses ACT_CODE:RIGHT_ID.
func parseRight(text string) (r benefit.ActRight, err error) {
	act, right, ok := strings.Cut(text, ":")
	if !ok || act == "" && right == "" {
		return r, fmt.Errorf("--rights %q is not ACT_CODE:RIGHT_ID", text)
	}
	r.ActCode = act
	if right != "" {
		if r.RightID, err = strconv.ParseInt(right, 10, 64); err != nil {
			return r, fmt.Errorf("--rights %q: the right_id is not a number", text)
		}
	}
	return r, nil
}

func (q *decideFlags) ask(cmd *cobra.Command, p control.Platform, question *control.Question) error {
	question.Unmasked = q.unmasked
	decision, err := control.Decide.On(context.WithoutCancel(cmd.Context()), p, question)
	if err != nil {
		return err
	}
	w := cmd.OutOrStdout()
	switch {
	case q.asJSON:
		err = writeJSON(w, decision)
	case q.explain:
		err = showDecision(w, decision)
	default:
		err = showOutcome(w, decision)
	}
	if err == nil && decision.Outcome != control.Issues {
		err = fmt.Errorf("nothing would be issued: %s", decision.Reason)
	}
	return err
}
