package rpm

import (
	"bytes"
	"database/sql"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	_ "modernc.org/sqlite" // the real thing writes the databases of the tests
)

// A field is one tag of a header made for a test.
type field struct {
	tag, kind, count uint32
	data             []byte
}

func str(tag uint32, s string) field { return field{tag, typeString, 1, append([]byte(s), 0)} }

func strs(tag uint32, list ...string) field {
	f := field{tag: tag, kind: typeStringArray, count: uint32(len(list))}
	for _, s := range list {
		f.data = append(append(f.data, s...), 0)
	}
	return f
}

func ints(tag uint32, list ...uint32) field {
	f := field{tag: tag, kind: typeInt32, count: uint32(len(list))}
	for _, n := range list {
		f.data = binary.BigEndian.AppendUint32(f.data, n)
	}
	return f
}

func shorts(tag uint32, list ...uint16) field {
	f := field{tag: tag, kind: typeInt16, count: uint32(len(list))}
	for _, n := range list {
		f.data = binary.BigEndian.AppendUint16(f.data, n)
	}
	return f
}

// record is a header record with some fields.
func record(fields ...field) []byte {
	var index, data []byte
	be := binary.BigEndian
	for _, f := range fields {
		for f.kind == typeInt32 && len(data)%4 != 0 || f.kind == typeInt16 && len(data)%2 != 0 {
			data = append(data, 0)
		}
		for _, n := range []uint32{f.tag, f.kind, uint32(len(data)), f.count} {
			index = be.AppendUint32(index, n)
		}
		data = append(data, f.data...)
	}
	out := be.AppendUint32(nil, uint32(len(fields)))
	out = be.AppendUint32(out, uint32(len(data)))
	return append(append(out, index...), data...)
}

// simple is a record of a package without files; pad makes it larger.
func simple(name string, pad int) []byte {
	return record(str(tagName, name), str(tagVersion, "1.0"), str(tagRelease, "1"), str(tagArch, "noarch"),
		str(1004, string(bytes.Repeat([]byte{'x'}, pad))))
}

// makeNDB writes records as rpmpkg.c lays them out.
func makeNDB(records ...[]byte) []byte {
	le := binary.LittleEndian
	page := make([]byte, ndbPage)
	copy(page, ndbMagic)
	le.PutUint32(page[12:], 1)
	le.PutUint32(page[16:], uint32(len(records)+1))
	for at := ndbHeadSlots * ndbSlotBytes; at < ndbPage; at += ndbSlotBytes {
		copy(page[at:], ndbSlotMagic)
	}
	out := page
	for i, r := range records {
		off := len(out)
		blob := append([]byte(ndbBlobMagic), make([]byte, 12)...)
		le.PutUint32(blob[4:], uint32(i+1))
		le.PutUint32(blob[12:], uint32(len(r)))
		blob = append(blob, r...)
		blob = append(blob, make([]byte, 12+15)...)
		blob = blob[:len(blob)/ndbSlotBytes*ndbSlotBytes]
		slot := out[(i+ndbHeadSlots)*ndbSlotBytes:]
		le.PutUint32(slot[4:], uint32(i+1))
		le.PutUint32(slot[8:], uint32(off/ndbSlotBytes))
		le.PutUint32(slot[12:], uint32(len(blob)/ndbSlotBytes))
		out = append(out, blob...)
	}
	return out
}

const testPage = 512

// makeBDB writes records as a hash database: a meta page, hash pages with a few
// pairs each, and overflow pages for large records.
func makeBDB(order binary.ByteOrder, records ...[]byte) []byte {
	pages := [][]byte{make([]byte, testPage)}
	add := func(kind byte) ([]byte, uint32) {
		p := make([]byte, testPage)
		no := uint32(len(pages))
		order.PutUint32(p[8:], no)
		p[25] = kind
		pages = append(pages, p)
		return p, no
	}
	var page []byte
	room := 0
	put := func(item []byte) {
		n := order.Uint16(page[20:])
		room -= len(item)
		copy(page[room:], item)
		order.PutUint16(page[bdbPageHeader+2*n:], uint16(room))
		order.PutUint16(page[20:], n+1)
	}
	newPage := func() {
		page, _ = add(bdbPageHash)
		room = testPage
	}
	newPage()
	put([]byte{bdbItemKeyData, 0, 0, 0, 0}) // the record of the last number
	put([]byte{bdbItemKeyData, 9, 0, 0, 0})
	for i, r := range records {
		var item []byte
		if len(r) <= 100 {
			item = append([]byte{bdbItemKeyData}, r...)
		} else {
			item = make([]byte, bdbOffPageBytes)
			item[0] = bdbItemOffPage
			order.PutUint32(item[8:], uint32(len(r)))
			link := item[4:8]
			for rest := r; len(rest) > 0; {
				over, no := add(bdbPageOverflow)
				order.PutUint32(link, no)
				link = over[16:20]
				n := copy(over[bdbPageHeader:], rest)
				order.PutUint16(over[22:], uint16(n))
				rest = rest[n:]
			}
		}
		if room < bdbPageHeader+2*int(order.Uint16(page[20:])+2)+5+len(item) {
			newPage()
		}
		k := make([]byte, 5)
		k[0] = bdbItemKeyData
		order.PutUint32(k[1:], uint32(i+1))
		put(k)
		put(item)
	}
	meta := pages[0]
	order.PutUint32(meta[12:], bdbHashMagic)
	order.PutUint32(meta[16:], 9)
	order.PutUint32(meta[20:], testPage)
	meta[25] = bdbPageHashMeta
	order.PutUint32(meta[32:], uint32(len(pages)-1))
	return bytes.Join(pages, nil)
}

// makeSQLite lets SQLite write the records, as rpm's schema has them. With wal
// the second half of them stands in the write-ahead log only.
func makeSQLite(t testing.TB, wal bool, records ...[]byte) (db, log []byte) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "rpmdb.sqlite")
	c, err := sql.Open("sqlite", name)
	if err != nil {
		t.Fatal(err)
	}
	c.SetMaxOpenConns(1)
	defer c.Close()
	exec := func(q string, args ...any) {
		t.Helper()
		if _, err := c.Exec(q, args...); err != nil {
			t.Fatal(err)
		}
	}
	exec("PRAGMA page_size=512") // small, so that a few records make a deep tree
	if wal {
		exec("PRAGMA journal_mode=WAL")
		exec("PRAGMA wal_autocheckpoint=0")
	}
	exec("CREATE TABLE 'Packages' (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)")
	exec("CREATE TABLE 'Name' (key 'TEXT' NOT NULL, hnum INTEGER NOT NULL, idx INTEGER NOT NULL)")
	for i, r := range records {
		if wal && i == len(records)/2 {
			exec("PRAGMA wal_checkpoint(TRUNCATE)")
		}
		exec("INSERT INTO Packages (blob) VALUES (?)", r)
	}
	if db, err = os.ReadFile(name); err != nil {
		t.Fatal(err)
	}
	if wal {
		if log, err = os.ReadFile(name + "-wal"); err != nil {
			t.Fatal(err)
		}
	}
	return db, log
}
