package ledger

// Names of Record.Fields that entries of actions and approvals use. They are for
// ids, hashes and figures; prose belongs into the payload, where it can be erased.
const (
	FieldPolicySet         = "policy_set"         // hash of the rules that had a say on the tool
	FieldApproval          = "approval"           // id of the approval behind an action
	FieldApprovers         = "approvers"          // user ids of who gave it, separated by spaces
	FieldCredential        = "credential"         // id of the credential that was used
	FieldCredentialVersion = "credential_version" // and its version
	FieldPin               = "pin"                // hash of the tool's definition
	FieldLabels            = "labels"             // of the turn at that moment
	FieldUpstream          = "upstream"           // request id of the far side
	FieldCost              = "cost"               // in millionths of the currency of the prices
	FieldSponsor           = "sponsor"            // the human who answered for the agent
)
