package message

import "testing"

func TestHeaderWatch(t *testing.T) {
	for text, want := range map[string]HeaderWatch{
		"":                            {},
		"A: b\r\nC: d":                {inLine: true},
		"A: b\r\n\r\nü":               {Ended: true},
		"A: b\n\nü":                   {Ended: true},
		"A: ü\r\n\r\n":                {Ended: true, EightBit: true},
		"A: b\r\n \r\nC: \xfc\r\n":    {EightBit: true},
		"\r\nno header and then \xfc": {Ended: true},
	} {
		var whole, pieces HeaderWatch
		whole.See([]byte(text))
		for i := range len(text) {
			pieces.See([]byte{text[i]})
		}
		if whole != want || pieces != want {
			t.Errorf("%q: got %+v, and %+v in pieces; want %+v", text, whole, pieces, want)
		}
	}
}
