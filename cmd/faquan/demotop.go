package main

import (
	"context"
	"fmt"
	"strings"

	"faquan/internal/benefit"
)

// topAct is one call of the demo on TOP, with its expected result.
type topAct struct {
	title  string
	method string
	object string            // the request; CODE is the code of the last certificate
	want   map[string]string // texts of the answer, by path
	// same is the distance to the earlier act with the same answer, apart from request_id; 0: the answer is a new one.
	same int
	// explain first shows how the request would be decided.
	explain bool
}

const (
	demoBox = `{"benefit_type":1,"send_count":2,"unique_id":"%s","relation_id":12345234,"purchaser_id":725677994,` +
		`"detail_id":123235235,"trace_id":"demo-%s","biz_id":"12457112","card_type":"%s"}`
	demoDecision = `{"scene_code":"1512AINNA61","request_id":"%s","biz_code":"DEMO","user_type":"ALIPAY","user_id":"%s"}`
)

// topActs are the calls of the demo on TOP.
var topActs = []topAct{
	{
		title:  "TOP, another protocol and the same core: two benefits to the user of the session. There were three.",
		method: activitySend, object: fmt.Sprintf(demoBox, "box-1", "1", "game"),
		want: map[string]string{"send_result.is_success": "true", "send_result.is_baoxiang_task_done": "false"},
	},
	{
		title:  "The same again: the first answer, and nothing new.",
		method: activitySend, object: fmt.Sprintf(demoBox, "box-1", "1", "game"), same: 1,
		want: map[string]string{"send_result.is_success": "true"},
	},
	{
		title:  "Two more: one is left, and the answer says so. The other card completes the treasure box of the day.",
		method: activitySend, object: fmt.Sprintf(demoBox, "box-2", "2", "beauty"),
		want: map[string]string{"send_result.is_success": "true", "send_result.is_baoxiang_task_done": "true"},
	},
	{
		title:  "Nothing left.",
		method: activitySend, object: fmt.Sprintf(demoBox, "box-3", "3", "game"),
		want: map[string]string{"send_result.is_success": "false", "send_result.error_code": "STOCK_EMPTY"},
	},
	{
		title:  "A scene decides by rules. First, what it would give and why; then the call.",
		method: decisionSend, object: fmt.Sprintf(demoDecision, "decide-1", "2088000000000011"), explain: true,
		want: map[string]string{"result.success": "true", "result.result_obj.status": "SUCCESS"},
	},
	{
		title:  "A user to whom no rule gives anything.",
		method: decisionSend, object: fmt.Sprintf(demoDecision, "decide-2", "2088000000000012"),
		want: map[string]string{"result.success": "false", "result.result_obj.status": "NO_DECISION_ITEM"},
	},
	{
		title:  "A certificate, with a code that cannot be guessed.",
		method: certificateSend, object: `{"channel":7,"open_id":"AXBZ","out_id":282399,"biz_code":"DEMO"}`,
		want: map[string]string{"result.code": "0", "result.model.status": "0"},
	},
	{
		title:  "The same certificate, found by its code.",
		method: certificateQuery, object: `{"open_id":"AXBZ","codes":"CODE"}`,
		want: map[string]string{"result.code": "0", "result.model.total_item": "1"},
	},
}

// showTOP makes the calls on TOP.
func (d *demo) showTOP(ctx context.Context, number int) error {
	var answers []string // without their request_id
	code := ""
	for k, a := range topActs {
		fmt.Fprintf(d.out, "%d. %s\n", number+k, a.title)
		if a.explain {
			if err := d.explain(ctx); err != nil {
				return err
			}
		}
		params := map[string]string{topMethods[a.method].object: strings.ReplaceAll(a.object, "CODE", code)}
		e, err := d.top.send(ctx, a.method, params)
		if err != nil {
			return err
		}
		e.show(d.out)
		fmt.Fprintln(d.out)
		answers = append(answers, strings.Replace(e.raw, e.reply.RequestID, "", 1))
		if err := a.check(e, answers); err != nil {
			return err
		}
		if found := e.text("result.model.certificate_code"); found != "" {
			code = found
		}
	}
	return nil
}

func (a *topAct) check(e *topExchange, answers []string) error {
	for path, want := range a.want {
		if got := e.text(path); got != want {
			return fmt.Errorf("the demo expected %s of %s to be %q and got %q", path, a.method, want, got)
		}
	}
	if last := len(answers) - 1; a.same > 0 && answers[last] != answers[last-a.same] {
		return fmt.Errorf("the retry got %s after %s", answers[last], answers[last-a.same])
	}
	return nil
}

// explain prints how the scene would decide for the demo's user, as `faquan decide --explain` does.
func (d *demo) explain(ctx context.Context) error {
	q := decideFlags{app: "demo", scene: "1512AINNA61", bizCode: "DEMO", userType: benefit.AlipayID, userID: "2088000000000011", requestID: "decide-1"}
	question, err := q.question()
	if err != nil {
		return err
	}
	decision, err := d.server.service.Decide(ctx, question)
	if err != nil {
		return err
	}
	return showDecision(d.out, decision)
}
