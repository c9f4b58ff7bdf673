package listen

import "golang.org/x/crypto/cryptobyte"

// hello is what the log tells about a ClientHello in the wrong place.
type hello struct {
	name      string   // server_name (RFC 6066, section 3)
	protocols []string // ALPN (RFC 7301)
}

// parseHello reads the leading records of b leniently: what cannot be understood is left out. It
// reports false while a longer b may tell more.
func parseHello(b []byte) (h hello, complete bool) {
	var message []byte
	for len(message) < 4 || len(message) < 4+messageLength(message) {
		if len(b) > 0 && b[0] != 0x16 {
			return hello{}, true
		}
		if len(b) < 5 {
			return hello{}, false
		}
		n := int(b[3])<<8 | int(b[4])
		if len(b) < 5+n {
			return hello{}, false
		}
		message = append(message, b[5:5+n]...)
		b = b[5+n:]
	}
	if message[0] == 1 {
		h.parse(message[4 : 4+messageLength(message)])
	}
	return h, true
}

func messageLength(message []byte) int {
	return int(message[1])<<16 | int(message[2])<<8 | int(message[3])
}

// parse reads a ClientHello body (RFC 8446, section 4.1.2).
func (h *hello) parse(body []byte) {
	s := cryptobyte.String(body)
	var session, suites, compression, extensions cryptobyte.String
	ok := s.Skip(2+32) && s.ReadUint8LengthPrefixed(&session) && s.ReadUint16LengthPrefixed(&suites) &&
		s.ReadUint8LengthPrefixed(&compression) && s.ReadUint16LengthPrefixed(&extensions)
	for ok && !extensions.Empty() {
		var kind uint16
		var data cryptobyte.String
		if !extensions.ReadUint16(&kind) || !extensions.ReadUint16LengthPrefixed(&data) {
			return
		}
		switch kind {
		case 0:
			h.parseName(data)
		case 16:
			h.parseProtocols(data)
		}
	}
}

func (h *hello) parseName(data cryptobyte.String) {
	var names, name cryptobyte.String
	var kind uint8
	if data.ReadUint16LengthPrefixed(&names) && names.ReadUint8(&kind) && kind == 0 && names.ReadUint16LengthPrefixed(&name) {
		h.name = string(name)
	}
}

func (h *hello) parseProtocols(data cryptobyte.String) {
	var list cryptobyte.String
	if !data.ReadUint16LengthPrefixed(&list) {
		return
	}
	for !list.Empty() {
		var id cryptobyte.String
		if !list.ReadUint8LengthPrefixed(&id) {
			return
		}
		h.protocols = append(h.protocols, string(id))
	}
}
