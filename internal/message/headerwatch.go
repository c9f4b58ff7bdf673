package message

// HeaderWatch looks for 8-bit octets in the header of a message that goes by. The zero value has seen nothing.
type HeaderWatch struct {
	Ended    bool // the blank line was seen
	EightBit bool

	inLine bool
}

// See takes the next octets of the message.
func (h *HeaderWatch) See(p []byte) {
	for _, c := range p {
		if h.Ended {
			return
		}
		switch {
		case c == '\n':
			h.Ended, h.inLine = !h.inLine, false
		case c != '\r':
			h.inLine = true
			h.EightBit = h.EightBit || c >= 0x80
		}
	}
}
