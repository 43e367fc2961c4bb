package driver

import (
	"errors"
	"maps"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// A URL says where a database is and how to reach it. Its grammar is
// SQLAlchemy's, not that of net/url:
//
//	dialect[+driver]://user:password@host:port/database?key=value
//
// However a URL is printed, logged or marshalled, also as a part of something
// else, its password shows as *** or not at all, and so do the parameters that
// look like secrets: [URL.Password] and [URL.Parameters] have them.
// A URL is safe for concurrent use as long as nobody changes it, and a copy is
// one of its own, but for Query.
type URL struct { //nolint:recvcheck // Printing needs values, SetPassword a pointer.
	Scheme   string     // Kind of database: "postgresql", "mysql", "sqlite" or a third party's.
	Driver   string     // What follows "+" in the scheme. Empty: the scheme's own driver.
	User     string     // Decoded. Empty if there is none.
	Host     string     // As written, IPv6 without its brackets. Empty if there is none.
	Port     int        // Zero if there is none.
	Database string     // Decoded, without the "/" before it: "/srv/x.db" for sqlite:////srv/x.db.
	Query    url.Values // Parameters but for secrets, decoded. Those without a value are left out.

	secrets func() secrets // Nil if there are none.
}

// secrets are what fmt must not get to. It does not ask the methods of what is
// in an unexported field, nor those of anything with %p or a %w out of place,
// and with a verb that fits nothing it follows pointers. It calls no functions.
type secrets struct {
	password   string
	parameters url.Values
}

func (s secrets) hidden() func() secrets { return func() secrets { return s } }

// Password returns the password, decoded. It is empty if there is none.
func (u URL) Password() string {
	if u.secrets == nil {
		return ""
	}
	return u.secrets().password
}

// SetPassword gives the URL another password, not those that are copies of it.
func (u *URL) SetPassword(password string) {
	s := secrets{password: password}
	if u.secrets != nil {
		s.parameters = u.secrets().parameters
	}
	u.secrets = s.hidden()
}

// Parameters returns all parameters, decoded: those of Query and those that
// look like secrets, such as sslpassword, in a map of the caller's own.
func (u URL) Parameters() url.Values {
	all := make(url.Values, len(u.Query))
	maps.Copy(all, u.Query)
	if u.secrets != nil {
		maps.Copy(all, u.secrets().parameters)
	}
	return all
}

// schemeAliases maps other names of a kind of database to the one that drivers
// are registered under.
var schemeAliases = map[string]string{
	"postgres": "postgresql",
	"mariadb":  "mysql",
}

// Mistakes in a URL. None of them quotes any part of it: what looks like a
// host or a port may be a piece of a password.
var (
	errNoScheme   = errors.New(`driver: URL does not start with a scheme: write "dialect://..." or "dialect+driver://..."`)
	errQuotes     = errors.New("driver: URL is in quotation marks, which belong to a shell or a file: leave them out")
	errSpace      = errors.New("driver: space before URL: remove it")
	errControl    = errors.New("driver: control character in URL (a line break at its end?): write it percent-encoded")
	errSpaceAtEnd = errors.New("driver: space at the end of URL: remove it, or write %20 if it belongs to the name")
	errNUL        = errors.New("driver: NUL (%00) in URL")
	errAt         = errors.New("driver: more than one @ in URL: write %40 for an @ in the password or the database name")
	errUserQuery  = errors.New("driver: ? before @ in URL: write %3F for a ? in the user name, %40 for an @ in a parameter")
	errAmbiguous  = errors.New("driver: URL can be read in two ways: write %2F for a / and %3F for a ? in the password, " +
		"%40 for an @ after the host")
	errHosts = errors.New("driver: several hosts in URL: where the database allows them (PostgreSQL), " +
		"write them as parameters: ?host=h1,h2&port=5432,5433, or ?host=h1:5432&host=h2:5433")
	errHost = errors.New("driver: host in URL is not a name or an address: it is taken as written, not percent-decoded; " +
		"the folder of a Unix socket is a parameter: ?host=/dir for PostgreSQL, ?unix_socket=/path for MySQL")
	errIPv6       = errors.New("driver: IPv6 host in URL: write the address in brackets, as in [::1]:5432")
	errPort       = errors.New("driver: port in URL is not a number from 1 to 65535 (is the @ after the password missing?)")
	errParameter  = errors.New("driver: parameter without a value in URL: write key=value, and %26 for an & in a value")
	errSQLiteHost = errors.New("driver: SQLite URL with a user, host or port: valid forms are sqlite:// (memory), " +
		"sqlite:///relative/file.db, sqlite:////absolute/file.db and sqlite:///file:name?uri=true")
)

// ParseURL reads a database URL.
//
// User, password and database are percent-decoded; a "+" in them stays, and so
// does a "%" that is not followed by two hexadecimal digits. The password ends
// at the first "@" and may hold any other character. The database is
// everything between the first "/" after the host and the first "?", a "#"
// included. In parameters a "+" is a space, and a repeated key has several
// values. The schemes postgres and mariadb become postgresql and mysql. An
// unknown scheme is no error here, but in [Lookup].
//
// No error contains a part of s.
func ParseURL(s string) (*URL, error) {
	if err := checkCharacters(s); err != nil {
		return nil, err
	}
	name, rest, found := strings.Cut(s, "://")
	if !found {
		return nil, errNoScheme
	}
	scheme, drv, ok := splitScheme(name)
	if !ok {
		return nil, errNoScheme
	}
	u := &URL{Scheme: canonicalScheme(scheme), Driver: drv}

	user, password, rest, err := cutUserinfo(rest)
	if err != nil {
		return nil, err
	}
	authority, database, query := splitPath(rest)
	if u.Scheme == "sqlite" && (user != "" || password != "" || authority != "") {
		return nil, errSQLiteHost
	}
	if password != "" && strayAt(authority, database, query) {
		return nil, errAt
	}
	if u.Host, u.Port, err = splitHost(authority); err != nil {
		return nil, err
	}
	if u.Query, err = parseQuery(query); err != nil {
		return nil, err
	}
	u.User, u.Database = unquote(user), unquote(database)
	u.hide(unquote(password))
	if hasNUL(u) {
		return nil, errNUL
	}
	return u, nil
}

// hide puts the password, and what looks like one in Query, out of sight.
func (u *URL) hide(password string) {
	hidden := make(url.Values)
	for key, values := range u.Query {
		if secretKey(key) {
			hidden[key] = values
			delete(u.Query, key)
		}
	}
	if password != "" || len(hidden) > 0 {
		u.secrets = secrets{password: password, parameters: hidden}.hidden()
	}
}

// checkCharacters refuses what comes from a file read carelessly.
func checkCharacters(s string) error {
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return errControl
	}
	if strings.HasSuffix(s, " ") {
		return errSpaceAtEnd
	}
	if strings.HasPrefix(s, " ") {
		return errSpace
	}
	if strings.HasPrefix(s, "'") || strings.HasPrefix(s, `"`) {
		return errQuotes
	}
	return nil
}

// splitScheme splits "dialect+driver", and reports whether it is well formed.
func splitScheme(name string) (scheme, drv string, ok bool) {
	scheme, drv, plus := strings.Cut(name, "+")
	return scheme, drv, isWord(scheme) && (!plus || isWord(drv))
}

func isWord(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

func canonicalScheme(scheme string) string {
	if canonical, ok := schemeAliases[scheme]; ok {
		return canonical
	}
	return scheme
}

// cutUserinfo cuts "user:password@" from what follows "://". The user ends at
// the first ":" or "/"; the password ends at the first "@" after it. Without a
// password the last "@" counts, so that a user may be a mail address.
func cutUserinfo(s string) (user, password, rest string, err error) {
	end := strings.IndexAny(s, ":/")
	if end < 0 {
		end = len(s)
	}
	if user, rest = s[:end], s[end:]; strings.HasPrefix(rest, ":") {
		var found bool
		if password, rest, found = strings.Cut(rest[1:], "@"); found {
			return user, password, rest, checkUserinfo(user, password)
		}
	}
	at := strings.LastIndex(user, "@")
	if at < 0 {
		return "", "", s, nil
	}
	return user[:at], "", s[at+1:], checkUserinfo(user[:at], "")
}

// checkUserinfo refuses what is more likely the host and port of a URL with an
// "@" further on, as in host:5432/db?user=me@example.org.
func checkUserinfo(user, password string) error {
	if strings.Contains(user, "?") {
		return errUserQuery
	}
	if end := strings.IndexAny(password, "/?"); end > 0 {
		if _, err := parsePort(password[:end]); err == nil {
			return errAmbiguous
		}
	}
	return nil
}

func splitPath(s string) (authority, database, query string) {
	s, query, _ = strings.Cut(s, "?")
	authority, database, _ = strings.Cut(s, "/")
	return authority, database, query
}

// strayAt reports whether another "@" after the one that ended the password
// shows that it belonged to the password: then the host is a piece of it.
func strayAt(authority, database, query string) bool {
	if strings.Contains(authority, "@") || strings.Contains(database, "@") {
		return true
	}
	if authority != "" && database == "" && strings.Contains(query, "@") {
		return true
	}
	if _, after, found := strings.Cut(query, "@"); found && strings.ContainsAny(after, "/?") {
		return true // What follows it looks like a host with a database.
	}
	for pair := range strings.SplitSeq(query, "&") {
		if key, _, _ := strings.Cut(pair, "="); strings.Contains(key, "@") {
			return true
		}
	}
	return false
}

func splitHost(s string) (host string, port int, err error) {
	switch {
	case strings.Contains(s, "@"):
		return "", 0, errAt
	case strings.Contains(s, ","):
		return "", 0, errHosts
	case strings.HasPrefix(s, "["):
		return splitIPv6(s)
	case strings.Count(s, ":") > 1 && isIPv6(s):
		return "", 0, errIPv6
	}
	host, number, colon := strings.Cut(s, ":")
	if strings.ContainsAny(host, "%[] \t") {
		return "", 0, errHost
	}
	if colon {
		port, err = parsePort(number)
	}
	return host, port, err
}

func splitIPv6(s string) (host string, port int, err error) {
	host, rest, closed := strings.Cut(s[1:], "]")
	if !closed || !isIPv6(host) {
		return "", 0, errIPv6
	}
	if rest == "" {
		return host, 0, nil
	}
	number, colon := strings.CutPrefix(rest, ":")
	if !colon {
		return "", 0, errIPv6
	}
	port, err = parsePort(number)
	return host, port, err
}

func isIPv6(s string) bool {
	addr, err := netip.ParseAddr(s)
	return err == nil && addr.Is6()
}

func parsePort(s string) (int, error) {
	port, err := strconv.ParseUint(s, 10, 16)
	if err != nil || port == 0 {
		return 0, errPort
	}
	return int(port), nil
}

// parseQuery reads parameters. It leaves out those with an empty value, as
// SQLAlchemy does.
func parseQuery(s string) (url.Values, error) {
	values := make(url.Values)
	for pair := range strings.SplitSeq(s, "&") {
		if pair == "" {
			continue
		}
		key, value, found := strings.Cut(pair, "=")
		if !found || key == "" {
			return nil, errParameter
		}
		if value != "" {
			values.Add(unquotePlus(key), unquotePlus(value))
		}
	}
	return values, nil
}

func unquotePlus(s string) string {
	return unquote(strings.ReplaceAll(s, "+", " "))
}

// unquote percent-decodes s. Unlike [url.PathUnescape] it keeps what is not a
// valid escape, so a password with a plain "%" in it is taken as it is.
func unquote(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' && i+2 < len(s) {
			if v, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				c = byte(v)
				i += 2
			}
		}
		b = append(b, c)
	}
	return string(b)
}

// hasNUL reports whether there is a NUL in u. No server takes one in a name or
// a password, and some code would cut the text there.
func hasNUL(u *URL) bool {
	for key, values := range u.Parameters() {
		if strings.Contains(key+strings.Join(values, ""), "\x00") {
			return true
		}
	}
	return strings.Contains(u.User+u.Password()+u.Database, "\x00")
}
