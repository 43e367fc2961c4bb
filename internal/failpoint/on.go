//go:build failpoint

package failpoint

import "sync/atomic"

var hook atomic.Pointer[func(string)]

// Hit marks a step.
func Hit(step string) {
	if do := hook.Load(); do != nil {
		(*do)(step)
	}
}

// Set has do called at each step, until it is called with another function.
func Set(do func(step string)) { hook.Store(&do) }
