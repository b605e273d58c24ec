package secret

import (
	"encoding/binary"
	"math"

	"github.com/onceover/onceover/internal/check/text"
)

// A matcher finds all keywords of all rules in one pass, ASCII letters in
// either case. Each keyword is filed under three bytes of it that text has
// rarely, of each its five low bits: those are the same for small letters and
// capitals. Nearly all places of a text are turned away by one look-up in a
// table that stays in the processor's first cache; none of them waits for the
// one before, as the states of an automaton do.
type matcher struct {
	// filed tells whether any keyword is filed under a group of three, as
	// group makes it of its bytes; the upper half is never read.
	filed [1 << 16]uint8
	// Those under group g are anchors[first[g]:first[g+1]].
	first   [1<<15 + 1]int32
	anchors []anchor
	words   []string
}

// An anchor is a keyword of length bytes, and where in it the three bytes are
// that it is filed under. Most places that the table lets through are none of a
// keyword: its first four bytes, as folded makes them, tell.
type anchor struct {
	head        uint32 // 0 of a keyword of three
	word        int32
	off, length uint8
}

// folded are four bytes with the bit set that tells small letters from capitals;
// other bytes fall together too.
func folded(b []byte) uint32 { return binary.LittleEndian.Uint32(b) | 0x2020_2020 }

// gram is how many bytes a group has; no keyword is shorter.
const gram = minKeyword

// group is the five low bits of each of three bytes.
func group(a, b, c byte) uint16 { return uint16(a&31) | uint16(b&31)<<5 | uint16(c&31)<<10 }

// newMatcher is for keywords in lower case, of 3 to 64 bytes; a hit is an index
// of words.
func newMatcher(words []string) *matcher {
	m := &matcher{anchors: make([]anchor, len(words)), words: words}
	weigh := rarity()
	offs := make([]int, len(words))
	for n, w := range words {
		least := math.Inf(1)
		for off := 0; off+gram <= len(w); off++ {
			if r := weigh(w[off], w[off+1], w[off+2]); r < least {
				least, offs[n] = r, off
			}
		}
		g := group(w[offs[n]], w[offs[n]+1], w[offs[n]+2])
		m.filed[g] = 1
		m.first[g+1]++
	}
	for g := range 1 << 15 {
		m.first[g+1] += m.first[g]
	}
	next := m.first
	for n, w := range words {
		off := offs[n]
		a := anchor{word: int32(n), off: uint8(off), length: uint8(len(w))}
		if len(w) > gram {
			a.head = folded([]byte(w))
		}
		g := group(w[off], w[off+1], w[off+2])
		m.anchors[next[g]] = a
		next[g]++
	}
	return m
}

// How common text has what was counted in 88 MB of it, in equal parts of a
// Debian system (documentation, scripts, configuration, and the sources of
// Python, Node.js and Go) and of an image with packages of npm and toolchains.
//
// often are the 600 groups that are most common, those under n at least once in
// 2^n places: three letters each, '@' and those after it for five low bits.
var often = map[int]string{
	4: "@@@",
	7: "J@@",
	9: "ION@THTIOTHELJ@PPP[J@ENT@]@ING@@BHE@@RE",
	10: "CONODE@IN@COSTR@@]III@[JJIITERCOMONSATEMENATIJJ@ED@AMEOR@FORON@THI@@CTYP@TOTURECTIS@NAMYPEINTSTATRIIF@RETRESHISMMMANDCTIER@@ANBLJTO@@SEPRO" +
		"ALLETU@DEURNNSTNG@EST@FO",
	11: "CODES@]]]ERSVALVER@@I@NOILE@ISDEFSE@@STUNCOF@I[J@IFRINOO@PAR@OFASSIN@I@[ST@IST@@R@J@INE@A@@PARN@NTEERRFILITHFUNTATORTND@NDEREAENDBZ@GL@SEL" +
		"@BE]LJEXTSET[JIBLEDAT@LI@PRESSLIN@C@NT@E@TP@QEL@TEDONTPERBZB@]JUSETORPTIRE@N@TNCOL@GIJ@TES@MAPRENOD^^^PORIREAGESER@CANTALE@ABLKEYLENE@AAN@" +
		"GETOMMLASSIOEQUNOTCLALL@Z@BARE@@ONCTCALITEEVES@AEBZPATE@IL@PZJ@ACK@@SALUERNNJ@@FIE@SMAT@@TLUEDEREN@LICMODOCO]J@@WIEXPSL@SPA@VA@ARE@CS@TAAC" +
		"RRORORPL@TENULTELFTIN@@GRAT@OPTRUASECHEARGOMPINDLEAONBBJ@@EXREQ@]LINS^J\\OURDOCHERREFAPPATH@USRENLCAOUTTTPOPTTL@ICAALIERAVARAL@HTTRL@L@SERT" +
		"@CLNTICATL@B@@JENCCAAUMEOPETH@EADN@@MPL]JJTRA@ORL@QNSEPAC@@DORMLESONEANG@OOF@TAR@ISNDE^CHAOBJ@ASATA",
	12: "ORE@\\@ELERCEWITLISTEML@@ET@AT@LOCDENNALTCH@HAENSORDTS@T@T@@PPEBBL@LIBJECF@H@@\\AILTE@L@TNS@ARAE@FJ@JWORIMENTSSHAEREROMTHALJIL@RLSEICEONOACT" +
		"@TRFIN@ENE@OPENQUERANADDACENGECESRSI@[@SOU@SOAS@@BSSTEURCJJJE@]AIN@DINERNCETHOBZ[OT@]]@ITIBJEN@AIDEME@HARONNLATHATUNDMESTEXRAMMETEFI@BA@BD" +
		"BER@PL@MOAPEEJ@@NECE@L@AARTHANGINGENPOS@ONERIMAPIJJ@ALRECALSCH@ZOOTARULEPLEPANT@I@]^D@TBLBGLJ@WH@DOTIMLETINCEMENJJIMP@GE@ITARR]^@DESACLZ@[" +
		"PECFRO@NA[JJIT@CENLOANBZIVEATC@UN@@ERT@COLR@TOSTIL@]@PULLS@I\\CODE@@CHACH^@\\MMES@]NOREZ@SINN@CQL@@BBBASSONPUTTPSHENDINUESIFID@BMANBE@ERMDIS" +
		"\\OCOINLIAIGHSCRNON@TEENEETHHREIZE@SU\\OPPP@SSIBUT@FUIJINUMMBEOUN@KEBIN@PXMINONFSYNN@IRIGID@OLINFIREDRMAPSZRRAILLVEN@@M@MEMPO@TYQUIT@ASTOSED" +
		"UT@OVEGHTNGT@@AESCODU^J@NINROUSPEGJ@TAB@@FJJI@BUIGNZ[JMITE@PNEWJI@LFNENGSZONE@AULINIROPATT@@[HI@@LENDI@HR@]]OCUDIRHAPETEJOJGITPLALQQLLOSS@" +
		"ORIL@IS@O@FR\\P^E@RNCLE@DRSE@QQOP^FIECUMNTR\\UPCRIHINRITLEMOCKPLIURE@JJEF@I@@LY@DULARSEATL@C@JOCREN\\OOM@O@TINALANCLU",
}

// pairs is for the others: in row a, column b says how common b is after a, the
// letter 'a'+20-n that they are in one place of 2^n.
const pairs = "" +
	"rmnmmlmmmmlklmlmmlmmnllljjjmlmik" +
	"llkmljilhlijmlmilimmnkjjjkihgiih" +
	"llkkjliijklhmjkkkikkjkiihjlijjkh" +
	"lmikilhhlkikljinihkjmkhhiihhhggi" +
	"mkkikniijljhkijljijjjjihhiiihiij" +
	"nlllmklkkkkhmlnkkknnmikjlkkjijkk" +
	"lkihijkhilifjijlhhkjjkhhhigghigh" +
	"ljjiilijjljglikjigkkjjhhghjiijhi" +
	"kljjimijjmihjijkjhkkljihhghihgfi" +
	"llkllkllimlimlnmkhkmmhkhifklikih" +
	"ojjkikjhhmmgijjkiiikjiihgghhkjgg" +
	"kjihglgihjhhihihghhjhhfgffggghfh" +
	"nlkkkmjjimmiljjljkjkklihgkiihhhj" +
	"kmkjimihhkigkljlljjkjjhhhihghgii" +
	"nlkmmmkmklljkjlmljjmmkjihjihjiij" +
	"lkklmilkikkjllnllhnllljkighghghi" +
	"lmjiimiijkjhljklmjlklkiikjiiiiki" +
	"jjiihhhggiigkijhkkkjjkjiiiigghgf" +
	"mmjkknikjmjjkklmkjlllkjiikihhiij" +
	"mkkkinijllkikjllliklnkiiikkjijhj" +
	"mmkkjnjjnnjhkkkmkimlllijiljiiiik" +
	"jjkjjljigkhhlklhlimlljiiiiggfggf" +
	"jlihhlhhgkhfjhiiiiiijiiiiigffggg" +
	"jkihhjhgjkhfjhjjiijjhihiihgfgggh" +
	"jiijhjihhjifjjihkjijkiiijihhghgi" +
	"liihhihhiiifjikjlhjjjiijiiigghhi" +
	"mikhgjgggikeihhjihhhhgggggijhhch" +
	"kijihhhigimghhhhiiiihfhffggiiiff" +
	"kjjjihhhhhhgihjljfgjikffjdfhjhgg" +
	"mgkgghhhijlgkgighggghffeeegjiljf" +
	"khihggghghkehghghgghiffggegikgke" +
	"ijijjiiiijghijjijhjkjiihgfigffej"

// rarity is a function that says how common three bytes after each other are:
// more by one where they come twice as often.
func rarity() func(a, b, c byte) float64 {
	known := map[uint16]float64{}
	least := 0
	for n, groups := range often {
		least = max(least, n)
		for i := 0; i < len(groups); i += gram {
			known[group(groups[i], groups[i+1], groups[i+2])] = -float64(n)
		}
	}
	pair := func(a, b byte) float64 { return float64(pairs[int(a&31)<<5|int(b&31)]) - 'a' - 20 }
	var single [32]float64
	for a := range single {
		sum := 0.0
		for b := range single {
			sum += math.Exp2(pair(byte(a), byte(b)))
		}
		single[a] = math.Log2(sum)
	}
	return func(a, b, c byte) float64 {
		if n, ok := known[group(a, b, c)]; ok {
			return n
		}
		return min(pair(a, b)+pair(b, c)-single[b&31], -float64(least+1))
	}
}

// A wordHit is a keyword and the index of the byte behind its end.
type wordHit struct {
	end  int
	word int32
}

// find calls hit with each keyword that ends at or before to and after from,
// and the index of the byte behind its end, in the order of the ends and then
// of the keywords, until hit returns false. Those that begin before start are
// left out.
func (m *matcher) find(b []byte, start, from, to int, hit func(word int32, end int) bool) {
	var room [64]wordHit
	waiting := room[:0]
	for i := start; ; i++ {
		if i = m.skip(b[:to], i); i+gram > to {
			break
		}
		// What is found from here on ends at i+gram or later.
		n := 0
		for n < len(waiting) && waiting[n].end < i+gram {
			if !hit(waiting[n].word, waiting[n].end) {
				return
			}
			n++
		}
		waiting = waiting[:copy(waiting, waiting[n:])]
		g := group(b[i], b[i+1], b[i+2])
		for _, a := range m.anchors[m.first[g]:m.first[g+1]] {
			at := i - int(a.off)
			end := at + int(a.length)
			if at < start || end <= from || end > to || a.head != 0 && folded(b[at:end]) != a.head || !isKeyword(b[at:end], m.words[a.word]) {
				continue
			}
			k := len(waiting)
			waiting = append(waiting, wordHit{})
			for ; k > 0 && (waiting[k-1].end > end || waiting[k-1].end == end && waiting[k-1].word > a.word); k-- {
				waiting[k] = waiting[k-1]
			}
			waiting[k] = wordHit{end, a.word}
		}
	}
	for _, w := range waiting {
		if !hit(w.word, w.end) {
			return
		}
	}
}

// skip is the first index from i on at which a group lies that a keyword is
// filed under. Where there is none, fewer than gram bytes follow it.
func (m *matcher) skip(b []byte, i int) int {
	i = skipBlocks(&m.filed, b, i)
	for ; i+gram <= len(b); i++ {
		if m.filed[group(b[i], b[i+1], b[i+2])] != 0 {
			break
		}
	}
	return i
}

// skipBlocks passes over eight groups at a time as long as none is filed.
func skipBlocks(f *[1 << 16]uint8, b []byte, i int) int {
	// Two rounds, so that the bounds are checked once in 16 bytes.
	for ; i+18 <= len(b); i += 16 {
		x := (*[18]byte)(b[i:])
		even, odd := groups(binary.LittleEndian.Uint64(x[:]), binary.LittleEndian.Uint64(x[2:]))
		if f[uint16(even)]|f[uint16(odd)]|f[uint16(even>>16)]|f[uint16(odd>>16)]|
			f[uint16(even>>32)]|f[uint16(odd>>32)]|f[uint16(even>>48)]|f[uint16(odd>>48)] != 0 {
			return i
		}
		even, odd = groups(binary.LittleEndian.Uint64(x[8:]), binary.LittleEndian.Uint64(x[10:]))
		if f[uint16(even)]|f[uint16(odd)]|f[uint16(even>>16)]|f[uint16(odd>>16)]|
			f[uint16(even>>32)]|f[uint16(odd>>32)]|f[uint16(even>>48)]|f[uint16(odd>>48)] != 0 {
			return i + 8
		}
	}
	return i
}

// groups are those that begin at eight bytes after each other, in eight lanes
// of 16 bits. here are these bytes, later those two places on.
func groups(here, later uint64) (even, odd uint64) {
	const low = 0x001f_001f_001f_001f
	b0, b1, b2, b3 := here&low, here>>8&low, later&low, later>>8&low
	return b0 | b1<<5 | b2<<10, b1 | b2<<5 | b3<<10
}

// isKeyword compares bytes with a keyword, without regard to the case of ASCII
// letters.
func isKeyword(b []byte, keyword string) bool {
	for i := range b {
		if text.Lower(b[i]) != keyword[i] {
			return false
		}
	}
	return true
}
