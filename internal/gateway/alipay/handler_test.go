package alipay_test

import "testing"

func TestThePageSample(t *testing.T) {
	w := newWorld(t, nil)
	answer, res := w.call(t, goodCall())
	if want := `{"code":"10000","msg":"Success","voucher_id":"2026112200765483968103834896","user_id":"2088302001456115"}`; string(answer.Node) != want {
		t.Errorf("the answer: %s", answer.Node)
	}
	if len(res.Header().Get("trace_id")) != 32 {
		t.Errorf("the trace id: %q", res.Header()["Trace_id"])
	}
}
