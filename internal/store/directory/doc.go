// Package directory holds domains, accounts, addresses, aliases and credentials, and verifies
// passwords. Every function that verifies one asks for a mail.Encrypted: there is no other way in.
//
// # Storage
//
// The store is the truth, memory answers. Open reads everything; a change is applied to memory once
// its transaction is durable. Each change raises a counter in the store that every transaction
// checks, so that two nodes cannot change the directory past each other; Refresh reads again what
// another node has changed. keys.go documents the records.
//
// # Verification
//
// All ways to log in end in one verifier. For a plain password it is one argon2id, whether the name
// is unknown, disabled, has no password or a wrong one; SCRAM for an unknown name runs to the proof
// with a salt that is always the same, and fails there. A refusal is one error with one text, sent
// after 300 to 400 ms; Reason tells the log the cause.
//
// Two records decide what a right password is: the account and its credential, each with a
// generation that rises in the transaction that changes it. A verification whose generations are no
// longer those of the directory when it is done is made again, so that no login with an old password
// is accepted after SetPassword has returned.
//
// A login by SCRAM -PLUS is bound to the TLS channel that mail.Peer describes. Mechanisms that need worse verifiers exist
// for the connections and accounts of a LegacyRule alone; EXTERNAL for who has shown a certificate that is one account's.
// Whatever is not offered to a peer is refused at its start, and settled like every other attempt.
//
// An account has a main password and app passwords. A received password is tried against the app passwords first, which
// costs a microsecond each, then against the main one; scopes, ends and what the account requires of logins are looked
// at when it is known to be right, so that the log can tell. Hashes that an import has brought verify received passwords
// until the first right one, of which verifiers of our own are made.
//
// One cache exists: right main passwords as received (specification, section 3.5: R), under a keyed hash of
// everything that the decision read. App passwords are not in it, for there is nothing to save. Verifiers need none (V),
// since memory is authoritative. Nothing of a SCRAM exchange is ever cached, and no wrong password.
//
// # Login names
//
// An account logs in by its address, in any case and with its domain in U-labels or A-labels, by its local part when only
// one domain has it, or by an alias that leads to it alone. SCRAM answers an alias with the salt of its account: a
// stranger who knows both names can tell that they are one's.
package directory
