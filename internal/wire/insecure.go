package wire

import (
	"log/slog"
	"net"
	"strings"
	"sync"
)

// Loopback reports whether host can only be reached on this machine: a
// loopback address or name, or the path of a Unix socket.
func Loopback(host string) bool {
	if strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") {
		return true
	}
	if strings.EqualFold(host, "localhost") || host == "" {
		return true
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return ip != nil && ip.IsLoopback()
}

// InsecureWarning warns once that a connection can be read or impersonated on
// its way. The zero value is not usable: Bind and Logger are needed. It is
// safe for concurrent use.
type InsecureWarning struct {
	Bind   string
	Logger *slog.Logger // Nil means [slog.Default].

	once sync.Once
}

// Check warns if host is not on this machine and the connection has no
// verified TLS. The hint says which option of the URL turns verification on.
func (w *InsecureWarning) Check(host string, verified bool, hint string) {
	if verified || Loopback(host) {
		return
	}
	w.once.Do(func() {
		logger := w.Logger
		if logger == nil {
			logger = slog.Default()
		}
		logger.Warn("echobun: connection without verified TLS", "bind", w.Bind, "host", host, "hint", hint)
	})
}
