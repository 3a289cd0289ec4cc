package ingest

// Step is a place on the way of a batch at which a fault may be planted.
type Step string

// The steps, in the order in which a batch passes them.
const (
	// StepFetched: records came from Kafka, nothing is made of them yet.
	StepFetched Step = "fetched"
	// StepDecoded: a batch is decoded and redacted, nobody knows of it yet.
	StepDecoded Step = "decoded"
	// StepDeclared: the batch's range and token are in the group's commit.
	StepDeclared Step = "declared"
	// StepAcked: the first sink has acknowledged the batch, no offset says so.
	StepAcked Step = "acked"
	// StepCommitted: the batch's offset is committed on its own.
	StepCommitted Step = "committed"
)

// Steps are all steps, in order.
func Steps() []Step {
	return []Step{StepFetched, StepDecoded, StepDeclared, StepAcked, StepCommitted}
}

// at tells the fault suite, if there is one, how far a batch has come.
func (in *Ingester) at(s Step) {
	if in.cfg.Failpoint != nil {
		in.cfg.Failpoint(s)
	}
}
