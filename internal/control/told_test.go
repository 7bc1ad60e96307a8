package control

import "testing"

func TestMask(t *testing.T) {
	for _, c := range []struct{ code, masked string }{
		{"383977292112", "********2112"}, {"38397729", "****7729"}, {"3839772", "*******"}, {"", ""}, {"一二三四五六七八", "****五六七八"}, {"一二三四五六七", "*******"},
	} {
		if got := maskCode(c.code); got != c.masked {
			t.Errorf("code %s: %s", c.code, got)
		}
	}
	for _, c := range []struct{ value, masked string }{
		{"2088302001456115", "208**********115"}, {"yue54333", "********"}, {"月下的一个长名字abc", "***********"},
		{"一二三四五六七八九十甲乙", "一二三******十甲乙"},
	} {
		if got := maskIdentifier(c.value); got != c.masked {
			t.Errorf("identifier %s: %s", c.value, got)
		}
	}
}
