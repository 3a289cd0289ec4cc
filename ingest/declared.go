package ingest

// DeclaredLast is the last offset of the batch that the metadata of an offset
// commit declares. Such a batch may be stored already, though the commit's offset
// is its first; nothing behind it can be. Metadata that declares nothing, or that
// this version cannot read, is not declared.
func DeclaredLast(metadata string) (last int64, declared bool) {
	i, declared, err := parseIntent(metadata)
	return i.last, declared && err == nil
}
