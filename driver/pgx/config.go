package pgx

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"regexp"
	"slices"
	"strings"

	jackc "github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/echobun/echobun/driver"
	"github.com/echobun/echobun/internal/wire"
)

// settings are libpq's keywords and their values, as a URL gives them. The
// passwords are apart, so that no parser can put them into an error.
type settings struct {
	values      map[string]string
	hosts       []string // As they have to come out in the end; an empty one may become anything.
	password    string
	sslPassword string
}

// newConfig makes pgx's configuration of a URL and the options.
//
// Pgx wants to parse a string, for only so does it read the PG* variables and
// files that fill in what the string leaves out. The string made here is
// quoted, and what came out of it is compared with what went in.
func newConfig(u *driver.URL, o driver.Options) (*jackc.ConnConfig, error) {
	s, err := readURL(u)
	if err != nil {
		return nil, err
	}
	if o.TLS != nil {
		s.dropTLS()
	}
	cfg, err := s.parse()
	if err != nil {
		return nil, err
	}
	if err := s.verify(cfg); err != nil {
		return nil, err
	}
	if err := checkConforming(cfg.RuntimeParams); err != nil {
		return nil, err
	}
	if s.password != "" {
		cfg.Password = s.password
	}
	if _, ok := s.values["connect_timeout"]; !ok && o.ConnectTimeout > 0 {
		cfg.ConnectTimeout = o.ConnectTimeout
		cfg.DialFunc = new(net.Dialer).DialContext // Pgx's has the time limit of PGCONNECT_TIMEOUT.
	}
	limitLookup(cfg)
	if o.TLS != nil {
		setTLS(cfg, wire.GuardedTLS(o.TLS))
	}
	cfg.DialFunc = hurried(cfg.DialFunc)
	cfg.BuildContextWatcherHandler = newCanceller
	return cfg, nil
}

// keyPattern is what a keyword or a run-time parameter may be called.
var keyPattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.$]*$`)

// readURL turns a URL into settings. Parameters go over what stands before
// them in the URL, the last of several over the others, as in libpq.
func readURL(u *driver.URL) (*settings, error) {
	if u.Query.Has("dbname") && u.Query.Has("database") {
		return nil, errors.New("pgx: dbname and database in the URL's query are the same parameter: give one of them")
	}
	if err := checkForeign(u.Parameters()); err != nil {
		return nil, err
	}
	s := &settings{
		values:   map[string]string{"default_query_exec_mode": "exec"},
		password: u.Password(),
	}
	s.set("user", u.User)
	s.set("dbname", u.Database)
	for key, values := range u.Parameters() {
		if len(values) == 0 {
			continue
		}
		last := values[len(values)-1]
		switch {
		case key == "host" || key == "port": // Below, all of them.
		case key == "password":
			s.password = last
		case key == "sslpassword":
			s.sslPassword = last
		case key == "database":
			s.values["dbname"] = last
		case !keyPattern.MatchString(key):
			return nil, fmt.Errorf("pgx: %q in the URL's query is no name of a parameter", key)
		default:
			s.values[key] = last
		}
	}
	if strings.ContainsRune(s.password, 0) {
		return nil, errors.New("pgx: NUL in the password")
	}
	if err := s.setEncoding(); err != nil {
		return nil, err
	}
	return s, s.setHosts(u)
}

// set takes a value unless it is empty, so that the environment can fill it in.
func (s *settings) set(key, value string) {
	if value != "" {
		s.values[key] = value
	}
}

// dropTLS takes out what is about TLS, from the environment too.
func (s *settings) dropTLS() {
	s.sslPassword = ""
	s.values["sslmode"] = "disable"
	for _, key := range []string{"sslrootcert", "sslcert", "sslkey", "sslpassword", "sslsni"} {
		s.values[key] = ""
	}
}

// parse lets pgx parse the settings.
func (s *settings) parse() (*jackc.ConnConfig, error) {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(s.values)) {
		fmt.Fprintf(&b, "%s=%s ", key, quoteValue(s.values[key]))
	}
	options := jackc.ParseConfigOptions{}
	if s.sslPassword != "" {
		options.GetSSLPassword = func(context.Context) string { return s.sslPassword }
	}
	cfg, err := jackc.ParseConfigWithOptions(b.String(), options)
	if err != nil {
		return nil, parseError(err)
	}
	return cfg, nil
}

// quoteValue quotes a value of libpq's keyword/value form.
func quoteValue(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

// parseError takes the connection string out of an error of pgx's parser.
func parseError(err error) error {
	var perr *pgconn.ParseConfigError
	if !errors.As(err, &perr) {
		return fmt.Errorf("pgx: read the URL and the PG* variables: %w", err)
	}
	perr.ConnString = ""
	text := strings.TrimPrefix(perr.Error(), "cannot parse ``: ")
	cause := perr.Unwrap()
	if cause == nil {
		return fmt.Errorf("pgx: read the URL and the PG* variables: %s", text)
	}
	text = strings.TrimSuffix(text, " ("+cause.Error()+")")
	return fmt.Errorf("pgx: read the URL and the PG* variables: %s: %w", text, cause)
}

// notRuntime are the keywords that do not end up in RuntimeParams.
var notRuntime = []string{
	"host", "port", "dbname", "user", "passfile", "connect_timeout",
	"sslmode", "sslkey", "sslcert", "sslcertmode", "sslrootcert", "sslnegotiation", "sslpassword", "sslsni",
	"krbspn", "krbsrvname", "target_session_attrs", "service", "servicefile",
	"min_protocol_version", "max_protocol_version", "channel_binding", "require_auth",
	"statement_cache_capacity", "description_cache_capacity", "default_query_exec_mode",
}

// verify compares what was parsed with what was meant. That they differ would
// mean that some value got out of its quotes.
func (s *settings) verify(cfg *jackc.ConnConfig) error {
	differs := func(key, got string) bool {
		want, ok := s.values[key]
		return ok && want != "" && want != got
	}
	var wrong []string
	if differs("user", cfg.User) {
		wrong = append(wrong, "user")
	}
	if differs("dbname", cfg.Database) {
		wrong = append(wrong, "dbname")
	}
	if !slices.EqualFunc(s.hosts, hostsOf(cfg), func(want, got string) bool { return want == "" || want == got }) && s.hosts != nil {
		wrong = append(wrong, "host")
	}
	if s.values["sslmode"] == "verify-full" && !fullyVerified(cfg) {
		wrong = append(wrong, "sslmode")
	}
	for key, value := range s.values {
		if !slices.Contains(notRuntime, key) && cfg.RuntimeParams[key] != value {
			wrong = append(wrong, key)
		}
	}
	if wrong != nil {
		slices.Sort(wrong)
		return fmt.Errorf("pgx: the parser did not take %s of the URL as written", strings.Join(wrong, ", "))
	}
	return nil
}

// limitLookup puts the time limit of connecting on name resolution too, where
// pgx has none.
func limitLookup(cfg *jackc.ConnConfig) {
	lookup, limit := cfg.LookupFunc, cfg.ConnectTimeout
	if limit <= 0 {
		return
	}
	cfg.LookupFunc = func(ctx context.Context, host string) ([]string, error) {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		return lookup(ctx, host)
	}
}

// hostsOf returns the hosts of a configuration in order. One that is tried
// with TLS and then without is there once.
func hostsOf(cfg *jackc.ConnConfig) []string {
	var hosts []string
	for _, a := range addressesOf(cfg) {
		hosts = append(hosts, a.Host)
	}
	return hosts
}

// addressesOf returns the addresses of a configuration in order, each once in
// a row.
func addressesOf(cfg *jackc.ConnConfig) []*pgconn.FallbackConfig {
	all := append([]*pgconn.FallbackConfig{{Host: cfg.Host, Port: cfg.Port, TLSConfig: cfg.TLSConfig}}, cfg.Fallbacks...)
	return slices.CompactFunc(all, func(a, b *pgconn.FallbackConfig) bool {
		return a.Host == b.Host && a.Port == b.Port
	})
}
