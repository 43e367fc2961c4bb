package echobun

import "github.com/echobun/echobun/driver"

// Resolved is what New makes an engine of.
type Resolved struct {
	Key     string
	Options EngineOptions
	URL     *driver.URL
}

// Resolve returns what New would make engines of.
func (cfg Config) Resolve() ([]Resolved, error) {
	binds, err := cfg.resolve()
	out := make([]Resolved, 0, len(binds))
	for _, b := range binds {
		out = append(out, Resolved{b.key, b.opts, b.url})
	}
	return out, err
}
