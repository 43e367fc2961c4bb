package echobun

// Scrub, ScrubMessage and Operation are for the tests of this package.
var (
	Scrub        = scrub
	ScrubMessage = scrubMessage
	Operation    = operation
)
