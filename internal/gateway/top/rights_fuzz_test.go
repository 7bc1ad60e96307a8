package top_test

import (
	"strings"
	"testing"

	"faquan/internal/gateway/top/wire"
)

// Whatever stands in the object parameter, the answer can be read in every shape, nothing panics, and what reached the
// core is within its bounds (the issuer refuses it otherwise, which the log would show).
func FuzzRights(f *testing.F) {
	methods := []string{decisionMethod, sendMethod, queryMethod}
	f.Add(uint8(0), `{"scene_code":"1512AINNA61","request_id":"k","biz_code":"b","user_type":"ALIPAY","user_id":"666450000"}`)
	f.Add(uint8(1), `{"channel":7,"open_id":"AXBZ","out_id":123,"biz_code":"23"}`)
	f.Add(uint8(2), `{"open_id":"AXBZ","codes":"1,2","page_size":"1","current_page":9223372036854775807}`)
	f.Fuzz(func(t *testing.T, which uint8, body string) {
		l := newLab(t, nil)
		method := methods[int(which)%len(methods)]
		for _, format := range []wire.Format{wire.XML, wire.JSON, wire.SimplifiedJSON} {
			text := l.post(&labCall{method: method, session: "ours", body: body}, format)
			if _, err := wire.ReadReply([]byte(text), format, method); err != nil {
				t.Errorf("%v: %s", err, text)
			}
		}
		if log := l.log.String(); strings.Contains(log, "panic") || strings.Contains(log, "invalid request") {
			t.Error(log)
		}
	})
}
