package smtp

import (
	"bufio"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"candor/internal/mail"
)

// The limits of a reply that is read. RFC 5321, section 4.5.3.1.5 allows 512 octets a line; servers
// in the field say more.
const (
	maxReplyLine  = 2048
	maxReplyLines = 256
)

// ErrBadReply is returned by ReadReply for octets that are not a reply, or not one within the limits.
var ErrBadReply = errors.New("smtp: malformed reply")

// ReadReply reads one reply. r's buffer must hold a line of 2048 octets. A status is split off only
// when its class agrees with the code (RFC 2034, section 4).
//
// Errors: ErrBadReply, and those of r.
func ReadReply(r *bufio.Reader) (Reply, error) {
	var reply Reply
	for range maxReplyLines {
		line, err := readReplyLine(r)
		if err != nil {
			return Reply{}, err
		}
		code, more, text, err := splitReplyLine(line)
		if err != nil {
			return Reply{}, err
		}
		if reply.Code != 0 && code != reply.Code {
			return Reply{}, fmt.Errorf("%w: code %d follows %d", ErrBadReply, code, reply.Code)
		}
		reply.Code = code
		status, text := splitStatus(code, text)
		if len(reply.Lines) == 0 {
			reply.Status = status
		}
		reply.Lines = append(reply.Lines, text)
		if !more {
			return reply, nil
		}
	}
	return Reply{}, fmt.Errorf("%w: more than %d lines", ErrBadReply, maxReplyLines)
}

// readReplyLine returns a line without its end. A bare LF ends one too: a client that insisted on CR
// would only wait for a reply that has come already.
func readReplyLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) || len(line) > maxReplyLine {
		return "", fmt.Errorf("%w: line longer than %d octets", ErrBadReply, maxReplyLine)
	}
	if err != nil {
		return "", err
	}
	return strings.TrimRight(string(line), "\r\n"), nil
}

func splitReplyLine(line string) (code int, more bool, text string, err error) {
	if len(line) < 3 {
		return 0, false, "", fmt.Errorf("%w: %.80q", ErrBadReply, line)
	}
	code, err = strconv.Atoi(line[:3])
	if err != nil || code < 200 || code > 599 {
		return 0, false, "", fmt.Errorf("%w: %.80q", ErrBadReply, line)
	}
	switch {
	case len(line) == 3:
		return code, false, "", nil
	case line[3] == '-':
		return code, true, line[4:], nil
	case line[3] == ' ':
		return code, false, line[4:], nil
	}
	return 0, false, "", fmt.Errorf("%w: %.80q", ErrBadReply, line)
}

func splitStatus(code int, text string) (mail.Status, string) {
	word, rest, _ := strings.Cut(text, " ")
	s, ok := mail.ParseStatus(word)
	if !ok || int(s.Class) != code/100 {
		return mail.Status{}, text
	}
	return s, rest
}
