package message

import (
	"strings"
)

// invalidAddress stands for an address that US-ASCII cannot hold (RFC 6858, section 2.1).
const invalidAddress = "<invalid@internationalized-address.invalid>"

// Downgrade returns h with its fields in US-ASCII, for a reader that knows nothing else: text becomes encoded words,
// addresses that cannot be written stand behind their names as invalid ones, and what is left is taken out. Most
// headers are ASCII already and are returned as they are. RFC 6858, section 2.
func Downgrade(h Header) Header {
	if isASCII(string(h)) {
		return h
	}
	out, rest := make(Header, 0, len(h)+len(h)/2), h
	for f := range h.Fields() {
		rest = rest[len(f.Raw):]
		if isASCII(string(f.Raw)) {
			out = append(out, f.Raw...)
			continue
		}
		if value := downgraded(f); value != "" {
			out = appendField(out, string(f.Name), value)
		}
	}
	return append(out, rest...)
}

// downgraded returns the value of a field in US-ASCII; empty: the field cannot be kept.
func downgraded(f HeaderField) string {
	if !isASCII(string(f.Name)) {
		return ""
	}
	name := strings.ToLower(string(f.Name))
	switch strings.TrimPrefix(name, "resent-") {
	case "from", "sender", "reply-to", "to", "cc", "bcc":
		return downgradedAddresses(f.Value())
	case "content-type":
		kind, subtype, params := parseContentType(f.Value())
		return downgradedParams(kind+"/"+subtype, params)
	case "content-disposition":
		return downgradedParams(parseDisposition(f.Value()))
	case "subject", "comments", "keywords", "content-description":
		return encodeText(f.Decoded())
	}
	if strings.HasPrefix(name, "x-") {
		return encodeText(f.Decoded())
	}
	return ""
}

func downgradedAddresses(value string) string {
	var all []string
	for _, m := range ParseAddressList(value) {
		if m.Host == "" {
			continue // of a group
		}
		name, address := DecodeText(m.Name), m.Local+"@"+m.Host
		if isASCII(address) {
			all = append(all, appendedName(name)+"<"+address+">")
			continue
		}
		if name == "" {
			name = address
		}
		all = append(all, appendedName(name)+invalidAddress)
	}
	return strings.Join(all, ",\r\n ")
}

func downgradedParams(value string, params []Param) string {
	for _, p := range params {
		if isASCII(p.Name) && isASCII(p.Value) {
			value += ";\r\n " + p.Name + "=" + strings.TrimSuffix(appendedName(p.Value), " ")
		}
	}
	return value
}
