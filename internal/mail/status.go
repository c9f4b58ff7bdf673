package mail

import (
	"fmt"
	"strconv"
	"strings"
)

// Status is an enhanced mail system status code (RFC 3463): class.subject.detail.
// The zero value is no status.
type Status struct{ Class, Subject, Detail uint16 }

// ParseStatus parses "5.1.1".
func ParseStatus(s string) (Status, bool) {
	p := strings.Split(s, ".")
	if len(p) != 3 || (p[0] != "2" && p[0] != "4" && p[0] != "5") {
		return Status{}, false
	}
	subject, err1 := strconv.ParseUint(p[1], 10, 10)
	detail, err2 := strconv.ParseUint(p[2], 10, 10)
	if err1 != nil || err2 != nil || subject > 999 || detail > 999 {
		return Status{}, false
	}
	return Status{uint16(p[0][0] - '0'), uint16(subject), uint16(detail)}, true
}

func (s Status) String() string { return fmt.Sprintf("%d.%d.%d", s.Class, s.Subject, s.Detail) }

// Temporary reports whether trying again may help.
func (s Status) Temporary() bool { return s.Class == 4 }

// MarshalText makes a Status a string in JSON and in the store.
func (s Status) MarshalText() ([]byte, error) {
	if s == (Status{}) {
		return nil, nil
	}
	return []byte(s.String()), nil
}

// UnmarshalText parses what MarshalText writes.
func (s *Status) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*s = Status{}
		return nil
	}
	p, ok := ParseStatus(string(text))
	if !ok {
		return Errorf(Syntax, "%q is not a status code", text)
	}
	*s = p
	return nil
}
