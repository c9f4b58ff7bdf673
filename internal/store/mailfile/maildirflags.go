package mailfile

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
)

const (
	keywordsFile  = "dovecot-keywords"
	maildirLetter = 26 // keywords have the letters a to z
	forwarded     = "$Forwarded"
)

// maildirFlags are the letters of flags, in the order in which they stand in a name.
var maildirFlags = []struct {
	letter byte
	flag   string
}{{'D', `\Draft`}, {'F', `\Flagged`}, {'P', forwarded}, {'R', `\Answered`}, {'S', `\Seen`}, {'T', `\Deleted`}}

// flagsOf reads the flags in a file's name. keywords are those of the letters a to z.
func flagsOf(name string, keywords []string) []string {
	_, info, ok := strings.Cut(name, ":2,")
	if !ok {
		return nil
	}
	letters, _, _ := strings.Cut(info, ",")
	var flags []string
	for i := range len(letters) {
		c := letters[i]
		flag := ""
		for _, f := range maildirFlags {
			if f.letter == c {
				flag = f.flag
			}
		}
		if c >= 'a' && int(c-'a') < len(keywords) {
			flag = keywords[c-'a']
		}
		if flag != "" && !slices.Contains(flags, flag) {
			flags = append(flags, flag)
		}
	}
	return flags
}

// infoOf writes flags as the end of a file's name. It gives new keywords letters, and returns those that find none.
func infoOf(flags []string, keywords *[]string) (info string, lost []string) {
	var letters []byte
	for _, flag := range flags {
		i := slices.IndexFunc(*keywords, func(k string) bool { return strings.EqualFold(k, flag) })
		known := false
		for _, f := range maildirFlags {
			if strings.EqualFold(f.flag, flag) {
				letters, known = append(letters, f.letter), true
			}
		}
		if strings.HasPrefix(flag, `\`) {
			continue
		}
		if i < 0 {
			if i = len(*keywords); i == maildirLetter {
				if !known {
					lost = append(lost, flag)
				}
				continue
			}
			*keywords = append(*keywords, flag)
		}
		letters = append(letters, 'a'+byte(i))
	}
	slices.Sort(letters)
	return ":2," + string(slices.Compact(letters)), lost
}

// readKeywords reads Dovecot's list of a folder's keywords: lines of number and keyword.
func readKeywords(root *os.Root, file string) ([]string, error) {
	f, err := openRegular(root, file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	keywords := make([]string, maildirLetter)
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		number, keyword, _ := strings.Cut(lines.Text(), " ")
		if n, err := strconv.Atoi(number); err == nil && n >= 0 && n < maildirLetter && isKeyword(keyword) {
			keywords[n] = keyword
		}
	}
	return keywords, lines.Err()
}
