package imapd

import (
	"strings"
	"testing"
)

func TestProgram(t *testing.T) {
	for _, c := range []struct {
		fields []string
		want   string
	}{
		{nil, ""},
		{[]string{"name", "Thunderbird", "version", "140.1"}, "Thunderbird/140.1"},
		{[]string{"VERSION", "1", "NAME", "mutt"}, "mutt/1"},
		{[]string{"name", "x\r\n\x00\xff"}, "x????"},
		{[]string{"name", strings.Repeat("n", 500)}, strings.Repeat("n", maxProgram)},
		{[]string{"os", "Linux"}, ""},
		{[]string{"name"}, ""},
	} {
		if got := program(c.fields); got != c.want {
			t.Errorf("%q: %q, want %q", c.fields, got, c.want)
		}
	}
}
