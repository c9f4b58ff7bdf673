package mail

import "testing"

func TestWords(t *testing.T) {
	for _, c := range []struct {
		t          Transport
		mx, domain string
		want       string
	}{
		{
			Transport{State: EncryptedUnauthenticated, Floor: Clear, FloorSource: "public-mx"},
			"", "",
			"Encrypted. It was not checked who was at the other end. Least accepted: clear text, demanded by the rule that a public mail server takes what comes.",
		},
		{
			Transport{State: Clear, Floor: Clear, FloorSource: "insecure:scanner", Scope: "private"},
			"", "",
			"Sent in clear text. Anyone on the way could read or change it. Both ends are in networks of ours. Least accepted: clear text, demanded by the exception scanner.",
		},
		{
			Transport{State: EncryptedNameUnbound, Floor: Clear, FloorSource: "admin:smarthost"},
			"mx.b.test", "b.test",
			"Encrypted to mx.b.test, whose certificate fits. That mx.b.test is the right server for b.test could not be proved. Least accepted: clear text, demanded by the administrator's rule smarthost.",
		},
		{Transport{State: LocalState, Floor: LocalState}, "", "", "Never left this machine."},
		{Transport{}, "", "", "Not seen by this server. Least accepted: anything."},
	} {
		if got := c.t.Words(c.mx, Domain(c.domain)); got != c.want {
			t.Errorf("%+v:\ngot  %s\nwant %s", c.t, got, c.want)
		}
	}
	for i, w := range floorWords {
		if w == "" {
			t.Errorf("no words for the floor %s", TransportState(i))
		}
	}
	if len(floorWords) != len(states) {
		t.Errorf("%d floors, %d states", len(floorWords), len(states))
	}
}
