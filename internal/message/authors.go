package message

import (
	"io"
	"mime"
	netmail "net/mail"
	"strings"

	"candor/internal/mail"
)

// Authors returns the addresses that the field names, or that some program could take it to name, for
// a check of who writes. A value that follows the grammar (RFC 5322, section 3.4) names what it says.
// In any other one programs find what they like, so that every word with an "@" counts, whatever
// quotes and comments it seems to stand in. What is returned need not be an address.
func Authors(f HeaderField) []string {
	list, err := strictList.ParseList(f.Value())
	if err != nil {
		return wordsWithAt(f.Decoded())
	}
	all := make([]string, len(list))
	for i, a := range list {
		at := strings.LastIndexByte(a.Address, '@')
		all[i] = mail.LocalPart(a.Address[:at]).String() + a.Address[at:]
	}
	return all
}

// strictList takes any charset in a display name, which nobody reads here.
var strictList = netmail.AddressParser{WordDecoder: &mime.WordDecoder{
	CharsetReader: func(_ string, text io.Reader) (io.Reader, error) { return text, nil },
}}

func wordsWithAt(s string) []string {
	var all []string
	for _, w := range strings.FieldsFunc(s, func(r rune) bool { return r <= ' ' || strings.ContainsRune(`()<>[],:;"\`, r) }) {
		if strings.Contains(w, "@") {
			all = append(all, w)
		}
	}
	return all
}
