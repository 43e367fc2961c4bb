package mysql

import (
	"errors"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	gomysql "github.com/go-sql-driver/mysql"
)

// A setter applies the value of one parameter.
type setter func(s *settings, value string) error

// parameters are those of go-sql-driver's DSN, and those of Python's drivers
// that have a counterpart. What is not here is a system variable.
var parameters = map[string]setter{
	"allowAllFiles":            flag(func(c *gomysql.Config) *bool { return &c.AllowAllFiles }),
	"allowCleartextPasswords":  flag(func(c *gomysql.Config) *bool { return &c.AllowCleartextPasswords }),
	"allowFallbackToPlaintext": flag(func(c *gomysql.Config) *bool { return &c.AllowFallbackToPlaintext }),
	"allowNativePasswords":     flag(func(c *gomysql.Config) *bool { return &c.AllowNativePasswords }),
	"allowOldPasswords":        flag(func(c *gomysql.Config) *bool { return &c.AllowOldPasswords }),
	"checkConnLiveness":        flag(func(c *gomysql.Config) *bool { return &c.CheckConnLiveness }),
	"clientFoundRows":          flag(func(c *gomysql.Config) *bool { return &c.ClientFoundRows }),
	"columnsWithAlias":         flag(func(c *gomysql.Config) *bool { return &c.ColumnsWithAlias }),
	"interpolateParams":        flag(func(c *gomysql.Config) *bool { return &c.InterpolateParams }),
	"multiStatements":          flag(func(c *gomysql.Config) *bool { return &c.MultiStatements }),
	"parseTime":                flag(func(c *gomysql.Config) *bool { return &c.ParseTime }),
	"rejectReadOnly":           flag(func(c *gomysql.Config) *bool { return &c.RejectReadOnly }),
	"compress":                 setCompress,

	"readTimeout":     duration(func(s *settings) *time.Duration { return &s.cfg.ReadTimeout }),
	"timeout":         duration(func(s *settings) *time.Duration { return &s.connectTimeout }),
	"writeTimeout":    duration(func(s *settings) *time.Duration { return &s.cfg.WriteTimeout }),
	"timeTruncate":    setTimeTruncate,
	"connect_timeout": seconds(func(s *settings) *time.Duration { return &s.connectTimeout }),
	"read_timeout":    seconds(func(s *settings) *time.Duration { return &s.cfg.ReadTimeout }),
	"write_timeout":   seconds(func(s *settings) *time.Duration { return &s.cfg.WriteTimeout }),

	"charset":              setCharset,
	"collation":            setCollation,
	"connectionAttributes": setConnectionAttributes,
	"loc":                  setLoc,
	"maxAllowedPacket":     setMaxAllowedPacket,
	"serverPubKey":         setServerPubKey,
	"tls":                  setTLSName,
	"unix_socket":          setSocket,
	"use_unicode":          setUseUnicode,
	"autocommit":           setAutocommit,
	"strict":               setStrict,
	"sql_mode":             setSQLMode,
}

var (
	variableName  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]*$`)
	variableValue = regexp.MustCompile(`^[A-Za-z0-9_+\-.:,/%=@ ]*$`)
	number        = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`)
	bareWord      = regexp.MustCompile(`(?i)^(default|true|false|on|off)$`) // In quotes the server refuses true and false.
	word          = regexp.MustCompile(`^[a-z0-9_]+$`)
)

// setVariable has a system variable set on each connection. Go-sql-driver
// writes names and values into the statement as they are, so they must not be
// able to be more than that.
func (s *settings) setVariable(name, value string) error {
	if !variableName.MatchString(name) {
		return errors.New("a parameter's name has letters, digits, _ and . only")
	}
	if strings.ToLower(name) != name {
		return errors.New("there is no such parameter, and the name of a system variable is written in lower case")
	}
	if inner, ok := unquoted(value); ok {
		value = inner
	} else if number.MatchString(value) || bareWord.MatchString(value) {
		s.cfg.Params[name] = value
		return nil
	}
	if !variableValue.MatchString(value) {
		return errors.New("as the value of a system variable this is too odd: set it with EngineOptions.OnConnect")
	}
	s.cfg.Params[name] = "'" + value + "'"
	return nil
}

// unquoted takes a pair of quotes off, which go-sql-driver asks for.
func unquoted(value string) (string, bool) {
	if len(value) < 2 {
		return value, false
	}
	first, last := value[0], value[len(value)-1]
	if first != last || first != '\'' && first != '"' {
		return value, false
	}
	return value[1 : len(value)-1], true
}

func flag(field func(*gomysql.Config) *bool) setter {
	return func(s *settings, value string) error {
		on, err := parseBool(value)
		*field(s.cfg) = on
		return err
	}
}

func parseBool(value string) (bool, error) {
	switch strings.ToLower(value) {
	case "true", "1":
		return true, nil
	case "false", "0":
		return false, nil
	}
	return false, errors.New("it is true or false")
}

func duration(field func(*settings) *time.Duration) setter {
	return func(s *settings, value string) error {
		d, err := parseDuration(value)
		*field(s) = d
		return err
	}
}

func parseDuration(value string) (time.Duration, error) {
	d, err := time.ParseDuration(value)
	if err != nil || d < 0 {
		return 0, errors.New("it is a duration with its unit, such as 500ms or 10s")
	}
	return d, nil
}

// seconds reads what Python's drivers take: a plain number.
func seconds(field func(*settings) *time.Duration) setter {
	return func(s *settings, value string) error {
		n, err := strconv.ParseFloat(value, 64)
		if err != nil || !(n >= 0 && n <= 1e9) {
			return errors.New("it is a number of seconds")
		}
		*field(s) = time.Duration(n * float64(time.Second))
		return nil
	}
}

func setCompress(s *settings, value string) error {
	on, err := parseBool(value)
	s.options = append(s.options, gomysql.EnableCompression(on))
	return err
}

func setTimeTruncate(s *settings, value string) error {
	d, err := parseDuration(value)
	s.options = append(s.options, gomysql.TimeTruncate(d))
	return err
}

func setConnectionAttributes(s *settings, value string) error {
	s.cfg.ConnectionAttributes = value
	return nil
}

func setLoc(s *settings, value string) error {
	loc, err := time.LoadLocation(value)
	if err != nil {
		return errors.New("it is the name of a time zone, such as Europe/Berlin or Local")
	}
	s.cfg.Loc = loc
	return nil
}

func setMaxAllowedPacket(s *settings, value string) error {
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 {
		return errors.New("it is a number of bytes, or 0 to ask the server")
	}
	s.cfg.MaxAllowedPacket = n
	return nil
}

func setServerPubKey(s *settings, value string) error {
	s.cfg.ServerPubKey = value
	return nil
}

// setTLSName takes true, false, skip-verify, preferred, or a name given to
// go-sql-driver's RegisterTLSConfig.
func setTLSName(s *settings, value string) error {
	if on, err := parseBool(value); err == nil {
		value = strconv.FormatBool(on)
	}
	if lower := strings.ToLower(value); lower == "skip-verify" || lower == "preferred" {
		value = lower
	}
	s.cfg.TLSConfig = value
	return nil
}

func setSocket(s *settings, value string) error {
	if !filepath.IsAbs(value) && !strings.HasPrefix(value, "@") {
		return errors.New("it is the absolute path of a socket")
	}
	s.host, s.cfg.Net, s.cfg.Addr = value, "unix", value
	return nil
}

func setUseUnicode(_ *settings, value string) error {
	if on, err := parseBool(value); err != nil || !on {
		return errors.New("strings are Unicode here: leave it out")
	}
	return nil
}

// setAutocommit refuses what would make every write outside a transaction get lost.
func setAutocommit(_ *settings, value string) error {
	switch strings.ToLower(strings.Trim(value, `'"`)) {
	case "1", "true", "on":
		return nil
	}
	return errors.New("statements outside a transaction commit by themselves: leave it out")
}
