package rule

import (
	"testing"
)

func BenchmarkHolds(b *testing.B) {
	for _, c := range []struct{ name, text string }{
		{"known", `known`},
		{"level and code", `user.level >= 2 && request.biz_code == "XXXX"`},
		{"past", `user.level >= 2 && issuedOf("cinema-10") == 0`},
		{"city in list", `user.city in ["杭州", "上海"] && hour >= 3`},
		{"time", `now < timestamp("2036-01-01T00:00:00+08:00")`},
		{"loop", `["a", "b"].exists(c, c == user.city) || user.level == 3`},
		{"five parts", `user.level >= 2 && request.biz_code == "XXXX" && user.city == "杭州" && issuedOf("a") == 0 && hour >= 3`},
	} {
		b.Run(c.name, func(b *testing.B) {
			rules, in := New(), input()
			if holds, err := rules.Holds(c.text, in); err != nil || !holds {
				b.Fatal(holds, err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := rules.Holds(c.text, in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
