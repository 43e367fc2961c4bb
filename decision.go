package echobun

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"strings"
)

// A decision is a row of a [commitLog].
//
// Another role, application or file may have written it. So nothing that was
// read is used before [decision.sound] has looked at its form.
type decision struct {
	ID       string // Of the transaction, with its application.
	Decision string
	Binds    string // Short names of the binds that took part, with spaces between them.
}

// What may have been decided. A decision that begins with see is no decision,
// but says whose log has it.
const (
	decidedCommit = "commit"
	decidedAbort  = "abort"
	decidedSee    = "see "
)

// installationRow is the ID of the row that holds the installation.
const installationRow = "installation"

// errForeignRow is the reason for not trusting a row.
var errForeignRow = errors.New("a row of echobun_commits is none that this library has written")

// sound reports whether a row is one that this library may have written.
func (d decision) sound() bool {
	if d.ID == installationRow {
		return isInstallation(d.Decision)
	}
	app, tx, _ := strings.Cut(d.ID, "/")
	if !isShortName(app) || !isTxID(tx) {
		return false
	}
	for bind := range strings.FieldsSeq(d.Binds) {
		if !isShortName(bind) {
			return false
		}
	}
	home, sees := strings.CutPrefix(d.Decision, decidedSee)
	return sees && isLogName(home) || d.Decision == decidedCommit || d.Decision == decidedAbort
}

// sees returns the name of the log that has the decision, if d only says so.
func (d decision) sees() (home string, ok bool) { return strings.CutPrefix(d.Decision, decidedSee) }

// lenInstallation is how many bytes of a log's name are its installation.
const lenInstallation = 8

// newInstallation names a log.
func newInstallation() string {
	var b [lenInstallation / 2]byte
	_, _ = rand.Read(b[:]) // It never fails.
	return hex.EncodeToString(b[:])
}

func isInstallation(s string) bool {
	return len(s) == lenInstallation && strings.Trim(s, "0123456789abcdef") == ""
}

// installationOf returns what is behind the bind in a log's name.
func installationOf(home string) string {
	_, installation, _ := strings.Cut(home, "@")
	return installation
}

// isLogName reports whether s is a log's name as IDs have it.
func isLogName(s string) bool {
	bind, installation, _ := strings.Cut(s, "@")
	return isShortName(bind) && isInstallation(installation)
}
