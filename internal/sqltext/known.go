package sqltext

import (
	"strings"
	"sync"
	"unicode"
)

// Known returns a server's message without what is quoted in it, and digits as
// question marks, if that is all in words of the usual English messages of
// databases. If it is not, it may be in another language, or be a value.
func Known(message string) (text string, ok bool) {
	text = ScrubMessage(message)
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return !unicode.IsLetter(r) && r != '_' }) {
		if !vocabulary()[strings.ToLower(word)] {
			return "", false
		}
	}
	if strings.ContainsFunc(text, unusual) {
		return "", false
	}
	return hideNumbers(text), true
}

// unusual reports whether r is in no English message.
func unusual(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune(" _.,:;()[]-/=+*?'\"%&<>!$", r)
}

// hideNumbers replaces each number by a question mark.
func hideNumbers(text string) string {
	var b strings.Builder
	inside := false
	for _, r := range text {
		digit := unicode.IsDigit(r)
		if !digit {
			b.WriteRune(r)
		} else if !inside {
			b.WriteByte('?')
		}
		inside = digit
	}
	return b.String()
}

// vocabulary is what words has, for look-ups.
var vocabulary = sync.OnceValue(func() map[string]bool {
	known := make(map[string]bool)
	for word := range strings.FieldsSeq(words) {
		known[word] = true
	}
	return known
})

// words are those of the messages that applications meet: of constraints,
// values, names, syntax, locks, rights, limits and connections.
const words = `
a aborted access account active actual add after aggregate alias all allow allowed already alter ambiguous an and another any appear
are argument arguments array arrays as assert assertion assignment at attach attempt authentication auto auto_increment autocommit
avg backend bad base be because been before begin being between bigint binary bit blob block blocks bool boolean both bound bounds
broken buffer bug busy but by byte bytea bytes cache call called can canceling cancelled cannot cascade case cast change changed
changes char character characters check checksum child cidr circle clause client close closed collation collations column columns
command commands commit committed compare concurrent concurrently condition conflict conflicting connection connections constant
constraint constraints contain contains context conversion convert copy corrupt corrupted corruption could count create created
crosses cte current currently cursor cycle data database databases datatype date datetime day deadlock deadlocked decimal declared
default deferrable deferred definition delete deleted denied dependent depth description detected did different dimension dimensions
directory disabled disk distinct division do does doesn domain double drop due duplicate during each either element elements else
empty enabled encoding end ended engine enough entry enum equal error escape exceed exceeded exceeds exception exclusion execute
executed execution exist existing exists expected expression extension extra failed failure family fatal feature fetch field fields
file filename files find fixed float for foreign format found from full fulltext function functions generated geometry get given
global got grant group grouping handle handler has hash have having held hex hexadecimal host hour identifier identity idle if
ignored illegal immediate implicit in inconsistent incorrect index indexes inet infinity information initially inner input insert
inserting inside instance instead insufficient int integer integrity internal interrupted interval into invalid invocation io is
isolation it its join json jsonb jsonpath key keys language large last length less level like limit line list literal local lock
locked locking locks logic logical long longer longtext lost lower main malformed match matching materialized max maximum mediumint
mediumtext member memory merge message minute mismatch missing misuse mixed mode modified modify modifying module month more
multiple must name named names nan natural near negative nested network new no non not nothing null number numbers numeric object
objects of off offset oid oids old on once one only open operand operation operations operator operators option options or order
other out outer outside overflow overlaps owned owner packet parameter parameters parent parse parser partial partition partitioned
path pattern permission permissions plan point pool position positive precision prepare prepared primary privilege privileges
procedure protected protocol query quota raised range reached read reading readonly real record recovery recursion recursive
reference referenced references referencing refers regular rejected relation relations release rename replace replica replication
request requested require required requires reserved reset resource resources restore restrict restriction result results return
returned returning returns right rights role rollback rolled routine row rowid rows rule running savepoint savepoints scale schema
schemas script second security select sequence serial serializable serialization serialize server session set sets several shared
should shutdown shutting side signal simple single size smallint snapshot so some sort source specification specified specifies sql
sqlstate stale standby start started starting state statement statements statistics status still storage store stored strict string
strings subquery subscript subscripts substring such superuser support supported syntax system table tables tablespace target
temporary terminated terminating terminator text than that the there they this thread through time timed timeout timestamp
timestamptz tinyint tinytext to too transaction transactions transition trigger truncate truncated try trying tuple two type types
unable uncommitted undefined unexpected union unique unknown unlock unrecognized unsigned unsupported unterminated until updatable
update updated updates updating upper use used user uses using utf uuid vacuum valid value values varbinary varchar variable varying
version view views violated violates violation virtual wait waiting was when where which while whole wide window with within without
would write written wrong x xml year you your zero zone
`
