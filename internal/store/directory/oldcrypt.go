package directory

import (
	"regexp"
	"strconv"

	"github.com/go-crypt/crypt/algorithm"
	"github.com/go-crypt/crypt/algorithm/argon2"
	"github.com/go-crypt/crypt/algorithm/bcrypt"
	"github.com/go-crypt/crypt/algorithm/md5crypt"
	"github.com/go-crypt/crypt/algorithm/scrypt"
	"github.com/go-crypt/crypt/algorithm/shacrypt"
)

// The most that a hash may cost which strangers can have verified: what a refusal's 300 ms can hide.
const (
	maxShaRounds    = 200_000
	maxBcryptCost   = 12
	maxArgon2Memory = 64 << 10            // KiB
	maxArgon2Work   = 4 * maxArgon2Memory // KiB times passes
	yescryptMemory  = 16 << 10            // KiB, of its usual parameters
	defaultRounds   = 5000                // of SHA-crypt
	minShaRounds    = 1000                // below which crypt(3) does not go
	maxBcryptLength = 72                  // octets; what follows them never counted
)

// cryptForm is a form of hash that begins with "$id$".
type cryptForm struct {
	form   *regexp.Regexp
	decode func(string) (algorithm.Digest, error)
	// cost reads the groups of form and returns the memory that verifying takes, in KiB.
	cost func(groups []string) (memory uint32, err error)
	most int // octets of a password that count; 0: all
}

const cryptLetters = `[./0-9A-Za-z]`

// cryptForms are, by id, what crypt(3) of various systems makes, and Argon2.
var cryptForms = map[string]cryptForm{
	"1":        {form: regexp.MustCompile(`^\$1\$[^$:]{0,8}\$` + cryptLetters + `{22}$`), decode: md5crypt.Decode, cost: noCost},
	"5":        {form: regexp.MustCompile(`^\$5\$(?:rounds=(\d{1,9})\$)?[^$:]{0,16}\$` + cryptLetters + `{43}$`), decode: shacrypt.Decode, cost: shaCost},
	"6":        {form: regexp.MustCompile(`^\$6\$(?:rounds=(\d{1,9})\$)?[^$:]{0,16}\$` + cryptLetters + `{86}$`), decode: shacrypt.Decode, cost: shaCost},
	"2":        {form: regexp.MustCompile(`^\$2[aby]?\$(\d\d)\$` + cryptLetters + `{53}$`), decode: bcrypt.Decode, cost: bcryptCost, most: maxBcryptLength},
	"y":        {form: regexp.MustCompile(`^\$y\$j9T\$` + cryptLetters + `{1,64}\$` + cryptLetters + `{43}$`), decode: scrypt.Decode, cost: yescryptCost},
	"argon2id": argon2Form("argon2id"),
	"argon2i":  argon2Form("argon2i"),
}

func argon2Form(id string) cryptForm {
	return cryptForm{
		form:   regexp.MustCompile(`^\$` + id + `\$v=19\$m=(\d{1,9}),t=(\d{1,9}),p=(\d{1,9})\$[+/0-9A-Za-z]{11,86}\$[+/0-9A-Za-z]{22,86}$`),
		decode: argon2.Decode, cost: argon2Cost,
	}
}

// crypt is the scheme of some of cryptForms.
func crypt(ids ...string) scheme {
	return func(hash string) (oldHash, error) {
		for _, id := range ids {
			f := cryptForms[id]
			groups := f.form.FindStringSubmatch(hash)
			if groups == nil {
				continue
			}
			memory, err := f.cost(groups)
			if err != nil {
				return oldHash{}, err
			}
			digest, err := f.decode(hash)
			if err != nil {
				return oldHash{}, malformed()
			}
			return oldHash{memory: memory, matches: func(password []byte) bool {
				if f.most > 0 && len(password) > f.most {
					password = password[:f.most]
				}
				return digest.MatchBytes(password)
			}}, nil
		}
		return oldHash{}, malformed()
	}
}

func noCost([]string) (uint32, error) { return 0, nil }

func yescryptCost([]string) (uint32, error) { return yescryptMemory, nil }

func shaCost(groups []string) (uint32, error) {
	rounds := defaultRounds
	if groups[1] != "" {
		rounds, _ = strconv.Atoi(groups[1])
	}
	if rounds > maxShaRounds {
		return 0, tooCostly("rounds", maxShaRounds)
	}
	if rounds < minShaRounds {
		return 0, malformed()
	}
	return 0, nil
}

func bcryptCost(groups []string) (uint32, error) {
	cost, _ := strconv.Atoi(groups[1])
	if cost > maxBcryptCost {
		return 0, tooCostly("the cost", maxBcryptCost)
	}
	if cost < 4 {
		return 0, malformed()
	}
	return 0, nil
}

func argon2Cost(groups []string) (uint32, error) {
	memory, _ := strconv.Atoi(groups[1])
	passes, _ := strconv.Atoi(groups[2])
	lanes, _ := strconv.Atoi(groups[3])
	switch {
	case memory > maxArgon2Memory:
		return 0, tooCostly("m", maxArgon2Memory)
	case memory*passes > maxArgon2Work:
		return 0, tooCostly("m times t", maxArgon2Work)
	case lanes > 16:
		return 0, tooCostly("p", 16)
	case memory < 8*lanes || passes < 1 || lanes < 1:
		return 0, malformed()
	}
	return uint32(memory), nil
}
