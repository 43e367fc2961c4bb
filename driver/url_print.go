package driver

import (
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// mask stands for a secret wherever a URL is shown.
const mask = "***"

// String returns the URL with *** in place of its password and of parameters
// that look like secrets. [ParseURL] reads it again.
func (u URL) String() string {
	var b strings.Builder
	b.WriteString(u.Scheme)
	if u.Driver != "" {
		b.WriteString("+" + u.Driver)
	}
	b.WriteString("://")
	if u.User != "" || u.Password() != "" {
		b.WriteString(quote(u.User, ""))
		if u.Password() != "" {
			b.WriteString(":" + mask)
		}
		b.WriteByte('@')
	}
	if strings.Contains(u.Host, ":") {
		b.WriteString("[" + u.Host + "]")
	} else {
		b.WriteString(u.Host)
	}
	if u.Port != 0 {
		b.WriteString(":" + strconv.Itoa(u.Port))
	}
	if u.Database != "" {
		b.WriteString("/" + quote(u.Database, `/\:#,=()+`))
	}
	u.writeQuery(&b)
	return b.String()
}

// GoString returns what String returns, for %#v.
func (u URL) GoString() string {
	return fmt.Sprintf("driver.URL(%q)", u.String())
}

// Format writes what String returns, whatever the verb: with %d or %x, too,
// fmt must not get to the fields.
func (u URL) Format(s fmt.State, verb rune) {
	text := u.String()
	switch {
	case verb == 'q':
		text = strconv.Quote(text)
	case verb == 'v' && s.Flag('#'):
		text = u.GoString()
	}
	_, _ = io.WriteString(s, text) // A [fmt.State] has no way to report it.
}

// MarshalText returns what String returns. JSON and YAML use it.
func (u URL) MarshalText() ([]byte, error) {
	return []byte(u.String()), nil
}

// LogValue returns what String returns, for log/slog.
func (u URL) LogValue() slog.Value {
	return slog.StringValue(u.String())
}

func (u URL) writeQuery(b *strings.Builder) {
	separator := byte('?')
	all := u.Parameters()
	for _, key := range slices.Sorted(maps.Keys(all)) {
		for _, value := range all[key] {
			b.WriteByte(separator)
			separator = '&'
			b.WriteString(quote(key, ""))
			b.WriteByte('=')
			if secretKey(key) {
				b.WriteString(mask)
			} else {
				b.WriteString(quote(value, "/:,()"))
			}
		}
	}
}

// secretKey reports whether the parameter with this key may be a secret. The
// likes of sslkey are the names of files.
func secretKey(key string) bool {
	key = strings.ToLower(key)
	for _, word := range []string{"password", "passwd", "passphrase", "pwd", "secret", "token", "credential"} {
		if strings.Contains(key, word) {
			return true
		}
	}
	if key == "pass" {
		return true
	}
	return strings.HasSuffix(key, "key") && !strings.HasPrefix(key, "ssl") && !strings.HasPrefix(key, "tls")
}

// quote percent-encodes all but letters, digits, "-._~" and the characters of
// safe, so that unquote returns s.
func quote(s, safe string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if isPlain(c) || strings.IndexByte(safe, c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(hex[c>>4])
		b.WriteByte(hex[c&15])
	}
	return b.String()
}

func isPlain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0
}
