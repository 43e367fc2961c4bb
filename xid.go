package echobun

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"strings"
)

// A xid names one branch of a two-phase transaction while it is prepared. It
// is all that recovery has to go by.
type xid struct {
	app  string // Short name of the application's name.
	tx   string // The transaction, the same for all its branches.
	home string // Where to ask what was decided: short name of a bind, "@", and the installation of its log.
	bind string // Short name of the branch's bind.
}

const xidPrefix = "echobun"

// String returns the ID, of at most 118 bytes.
func (id xid) String() string {
	return strings.Join([]string{xidPrefix, id.app, id.tx, id.home, id.bind}, "/")
}

// parseXID reads an ID that is ours, of whatever application. Others may name
// theirs as they like, so each part must be exactly what ours has there: they
// go into statements.
func parseXID(s string) (xid, bool) {
	parts := strings.Split(s, "/")
	if len(parts) != 5 || parts[0] != xidPrefix {
		return xid{}, false
	}
	id := xid{app: parts[1], tx: parts[2], home: parts[3], bind: parts[4]}
	return id, isShortName(id.app) && isTxID(id.tx) && isLogName(id.home) && isShortName(id.bind)
}

const (
	maxShortName   = 24
	hashedName     = 16 // Digits.
	nameCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
)

// shortName returns the short form of a name in an ID: the name itself, or its
// hash where it is too long or has other characters than an ID may have.
func shortName(name string) string {
	if name == "" {
		return "~"
	}
	if isPlainName(name) {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return "~" + hex.EncodeToString(sum[:hashedName/2])
}

func isPlainName(s string) bool {
	return s != "" && len(s) <= maxShortName && strings.Trim(s, nameCharacters) == ""
}

// isShortName reports whether s is what shortName may have returned.
func isShortName(s string) bool {
	hash, hashed := strings.CutPrefix(s, "~")
	return isPlainName(s) || hashed && (hash == "" || len(hash) == hashedName && strings.Trim(hash, "0123456789abcdef") == "")
}

// base32Digits are those of the name of a transaction, which has 26.
const (
	base32Digits = "0123456789abcdefghijklmnopqrstuv"
	lenTxID      = 26
)

var lowerBase32 = base32.NewEncoding(base32Digits).WithPadding(base32.NoPadding)

// newTxID returns the name of a transaction that nobody else uses.
func newTxID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // It never fails.
	return lowerBase32.EncodeToString(b[:])
}

func isTxID(s string) bool { return len(s) == lenTxID && strings.Trim(s, base32Digits) == "" }
