package main

import (
	"strings"
	"testing"

	"candor/internal/store/directory"
)

func TestQuotaConfig(t *testing.T) {
	for text, want := range map[string]directory.Quota{
		"":                                    {},
		"storage = 5":                         {Storage: 5},
		"storage = \"2MiB\"\nmessages = 7":    {Storage: 2 << 20, Messages: 7},
		"when_full = \"refuse\"\nmessages= 1": {Messages: 1},
	} {
		c, err := parseConfig("f", []byte(minimal+"[quota]\n"+text))
		if err != nil || c.Quota.standard != want {
			t.Errorf("%q: got %+v, %v", text, c, err)
		}
	}
	for text, want := range map[string]string{
		`storage = "much"`:   `"much" is not a size`,
		`storage = -1`:       "cannot be negative",
		`storage = true`:     "storage must be octets",
		`messages = "7"`:     "messages",
		`when_full = "soon"`: `when_full is "soon": write "retry"`,
		`shared = 1`:         `unknown key "quota.shared"`,
	} {
		if _, err := parseConfig("f", []byte(minimal+"[quota]\n"+text)); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "f:") {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}
