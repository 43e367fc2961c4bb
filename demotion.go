package echobun

import "github.com/echobun/echobun/driver"

// demoted begins another era if err is the refusal of a write by what only
// reads: it may be the server, whose place another has taken. That is so for
// all connections to it, and none that is open now is used again. A new one
// goes where the URL, the address or the name leads by then.
func (c *conn) demoted(err *BindError) {
	if err.class&driver.ReadOnly != 0 && !c.readOnly && c.e.isolation.Load() == nil {
		c.e.era.CompareAndSwap(c.era, c.era+1)
	}
}

// current reports whether nothing has happened since the connection was made
// that forbids to use it again.
func (c *conn) current() bool {
	i := c.e.isolation.Load()
	return c.isolation == i && (i != nil || c.era == c.e.era.Load())
}
