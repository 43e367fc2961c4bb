package otelechobun

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/uptrace/bun"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/echobun/echobun"
	"github.com/echobun/echobun/driver"
)

// BindKey is the key of the attribute that has the bind key. It is empty for
// the default bind.
const BindKey = attribute.Key("echobun.bind")

// Instrument adds a query hook to each bind of cfg, behind those that it has
// already, in cfg itself or from cfg.Defaults. Call it once, when cfg is
// complete and before [echobun.New]: a bind that is added later is not seen.
//
// The maps and slices that cfg refers to stay as they are; cfg gets its own.
func Instrument(cfg *echobun.Config, opts ...Option) {
	s := newSettings(opts)
	duration := newDuration(s.meter())
	hooked := func(key, url string, hooks ...[]bun.QueryHook) []bun.QueryHook {
		h := &hook{tracer: s.tracer(), duration: duration}
		h.attrs = append(append(h.attrs, BindKey.String(key)), where(url)...)
		h.attrs = slices.Clip(append(h.attrs, s.attrs...))
		return append(slices.Clip(firstSet(hooks)), h)
	}

	binds := maps.Clone(cfg.Binds)
	for key, bind := range binds {
		if key != echobun.DefaultBind {
			bind.Hooks = hooked(key, bind.URL, bind.Hooks, cfg.Defaults.Hooks)
			binds[key] = bind
		}
	}
	bind := cfg.Binds[echobun.DefaultBind]
	url := firstText(cfg.DatabaseURI, cfg.EngineOptions.URL, bind.URL)
	cfg.EngineOptions.Hooks = hooked(echobun.DefaultBind, url, cfg.EngineOptions.Hooks, bind.Hooks, cfg.Defaults.Hooks)
	cfg.Binds = binds
}

// firstSet returns the first list that is not nil: an empty one means none.
func firstSet(lists [][]bun.QueryHook) []bun.QueryHook {
	for _, list := range lists {
		if list != nil {
			return list
		}
	}
	return nil
}

func firstText(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}

// where says where the database of a URL is, as far as that is one place. What
// is wrong with a URL is for echobun.New to say.
func where(text string) []attribute.KeyValue {
	u, err := driver.ParseURL(text)
	if err != nil || u.Scheme == "sqlite" {
		return nil // A file has no server.
	}
	if u.Scheme == "postgresql" {
		override(u)
	}
	var attrs []attribute.KeyValue
	if u.Database != "" {
		attrs = append(attrs, semconv.DBNamespace(u.Database))
	}
	// A parameter may name another server, or several.
	if u.Host == "" || strings.Contains(u.Host, ",") || u.Query.Has("host") || u.Query.Has("unix_socket") {
		return attrs
	}
	attrs = append(attrs, semconv.ServerAddress(u.Host))
	if u.Port != 0 {
		attrs = append(attrs, semconv.ServerPort(u.Port))
	}
	return attrs
}

// override puts PostgreSQL's parameters over what stands before them in the URL.
// Several ports are not one place, so that there is none then.
func override(u *driver.URL) {
	for _, key := range []string{"dbname", "database"} {
		if values := u.Query[key]; len(values) > 0 {
			u.Database = values[len(values)-1]
		}
	}
	if ports := u.Query["port"]; len(ports) > 0 {
		u.Port, _ = strconv.Atoi(strings.Join(ports, ","))
	}
}
