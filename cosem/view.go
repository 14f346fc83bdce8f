package cosem

import "github.com/openusm/meter/obis"

// The views of the classes that meters are used for. Registers, profiles and
// clocks become readings and have no view; see [Register] and [Layout].

// RegisterActivation is a view of class 6.
type RegisterActivation struct {
	Registers []ObjectRef `cosem:"2"`
	Masks     []Mask      `cosem:"3"`
	Active    string      `cosem:"4"` // the name of the mask in force
}

// ObjectRef names an object.
type ObjectRef struct {
	Class uint16
	Name  obis.Code
}

// Mask names the registers that are active together, by their numbers from 1.
type Mask struct {
	Name    string
	Indexes []uint8
}

// ScriptTable is a view of class 9.
type ScriptTable struct {
	Scripts []Script `cosem:"2"`
}

// Script is a list of actions.
type Script struct {
	ID      uint16
	Actions []ScriptAction
}

// ScriptAction writes an attribute or invokes a method.
type ScriptAction struct {
	Service   uint8 // 1 write, 2 execute
	Class     uint16
	Name      obis.Code
	Index     int8
	Parameter Data
}

// SpecialDays is a view of class 11.
type SpecialDays struct {
	Days []SpecialDay `cosem:"2"`
}

// SpecialDay gives a date the day profile of a calendar.
type SpecialDay struct {
	Index uint16
	Date  obis.Time
	Day   uint8
}

// SAPAssignment is a view of class 17.
type SAPAssignment struct {
	Devices []SAP `cosem:"2"`
}

// SAP is a logical device and its name.
type SAP struct {
	SAP  uint16
	Name string
}

// ImageTransfer is a view of class 18.
type ImageTransfer struct {
	BlockSize   uint32  `cosem:"2"`
	Transferred Bits    `cosem:"3"`
	FirstNot    uint32  `cosem:"4"` // the first block that was not transferred
	Enabled     bool    `cosem:"5"`
	Status      uint8   `cosem:"6"`
	ToActivate  []Image `cosem:"7"`
}

// The states of an image transfer.
const (
	ImageNotInitiated     = 0
	ImageInitiated        = 1
	ImageVerifying        = 2
	ImageVerified         = 3
	ImageVerifyFailed     = 4
	ImageActivating       = 5
	ImageActivated        = 6
	ImageActivationFailed = 7
)

// Image identifies an image.
type Image struct {
	Size      uint32
	ID        []byte
	Signature []byte
}

// ActivityCalendar is a view of class 20.
type ActivityCalendar struct {
	Active        string    `cosem:"2"`
	Seasons       []Season  `cosem:"3"`
	Weeks         []Week    `cosem:"4"`
	Days          []Day     `cosem:"5"`
	Passive       string    `cosem:"6"`
	PassiveSeason []Season  `cosem:"7"`
	PassiveWeeks  []Week    `cosem:"8"`
	PassiveDays   []Day     `cosem:"9"`
	ActivateAt    obis.Time `cosem:"10"`
}

// Season is a season of a calendar.
type Season struct {
	Name  []byte
	Start obis.Time
	Week  []byte
}

// Week is a week of a calendar: the day profile of each weekday.
type Week struct {
	Name                                                           []byte
	Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday uint8
}

// Day is a day profile of a calendar.
type Day struct {
	ID      uint8
	Actions []DayAction
}

// DayAction is what a calendar does at a time of the day.
type DayAction struct {
	Start    obis.Time
	Script   obis.Code
	Selector uint16
}

// RegisterMonitor is a view of class 21.
type RegisterMonitor struct {
	Thresholds []Data           `cosem:"2"`
	Monitored  AttributeRef     `cosem:"3"`
	Actions    []MonitorActions `cosem:"4"`
}

// AttributeRef names an attribute.
type AttributeRef struct {
	Class uint16
	Name  obis.Code
	Index int8
}

// MonitorActions are what happens above and below a threshold.
type MonitorActions struct{ Up, Down ActionItem }

// ActionItem names a script.
type ActionItem struct {
	Script   obis.Code
	Selector uint16
}

// SingleActionSchedule is a view of class 22.
type SingleActionSchedule struct {
	Script ActionItem `cosem:"2"`
	Type   uint8      `cosem:"3"`
	Times  []When     `cosem:"4"`
}

// When is a time and a date, parts of which may be left open.
type When struct{ Time, Date obis.Time }

// PushSetup is a view of class 40.
type PushSetup struct {
	Objects        []Capture   `cosem:"2"` // of version 0; later versions add to their entries
	Destination    Destination `cosem:"3"`
	Windows        []Window    `cosem:"4"`
	RandomInterval uint16      `cosem:"5"` // seconds
	Retries        uint8       `cosem:"6"`
}

// Destination is where and how a meter pushes.
type Destination struct {
	Transport uint8 // 0 TCP, 1 UDP, 2 FTP, 3 SMTP, 4 SMS, 5 HDLC, 6 M-Bus
	Address   []byte
	Message   uint8 // 0 A-XDR encoded xDLMS APDU
}

// Window is a span of time.
type Window struct{ Start, End obis.Time }

// StatusMapping is a view of class 63.
type StatusMapping struct {
	Status  Data `cosem:"2"`
	Mapping Data `cosem:"3"` // structure{reference table, the entry for each bit}
}

// SecuritySetup is a view of class 64.
type SecuritySetup struct {
	Policy       uint8         `cosem:"2"`
	Suite        uint8         `cosem:"3"`
	ClientTitle  []byte        `cosem:"4"`
	ServerTitle  []byte        `cosem:"5"`
	Certificates []Certificate `cosem:"6"`
}

// Certificate describes a certificate that a meter holds.
type Certificate struct {
	Entity  uint8 // 0 server, 1 client, 2 certification authority, 3 other
	Type    uint8 // 0 signature, 1 key agreement, 2 TLS
	Serial  []byte
	Issuer  []byte
	Subject []byte
	AltName []byte
}

// DisconnectControl is a view of class 70.
type DisconnectControl struct {
	Connected bool  `cosem:"2"`
	State     uint8 `cosem:"3"` // 0 disconnected, 1 connected, 2 ready for reconnection
	Mode      uint8 `cosem:"4"`
}

// Limiter is a view of class 71.
type Limiter struct {
	Monitored       AttributeRef     `cosem:"2"`
	ActiveThreshold Data             `cosem:"3"`
	Normal          Data             `cosem:"4"`
	Emergency       Data             `cosem:"5"`
	MinOver         uint32           `cosem:"6"` // seconds
	MinUnder        uint32           `cosem:"7"` // seconds
	Profile         EmergencyProfile `cosem:"8"`
	Groups          []uint16         `cosem:"9"`
	InEmergency     bool             `cosem:"10"`
	Actions         MonitorActions   `cosem:"11"`
}

// EmergencyProfile is an emergency in which another threshold holds.
type EmergencyProfile struct {
	ID       uint16
	Start    obis.Time
	Duration uint32 // seconds
}

// MBusClient is a view of class 72.
type MBusClient struct {
	Port           obis.Code `cosem:"2"`
	Captures       Data      `cosem:"3"`
	CapturePeriod  uint32    `cosem:"4"`
	PrimaryAddress uint8     `cosem:"5"`
	Identification uint32    `cosem:"6"` // BCD
	Manufacturer   uint16    `cosem:"7"`
	Version        uint8     `cosem:"8"`
	DeviceType     uint8     `cosem:"9"`
	AccessNumber   uint8     `cosem:"10"`
	Status         uint8     `cosem:"11"`
	Alarm          uint8     `cosem:"12"`
}

// Account is a view of class 111.
type Account struct {
	Mode               AccountMode `cosem:"2"`
	CurrentCredit      uint8       `cosem:"3"`
	CreditStatus       Bits        `cosem:"4"`
	AvailableCredit    int32       `cosem:"5"`
	AmountToClear      int32       `cosem:"6"`
	ClearanceThreshold int32       `cosem:"7"`
	AggregatedDebt     int32       `cosem:"8"`
	Credits            []obis.Code `cosem:"9"`
	Charges            []obis.Code `cosem:"10"`
	ActivatedAt        obis.Time   `cosem:"13"`
	ClosedAt           obis.Time   `cosem:"14"`
	Currency           Currency    `cosem:"15"`
	LowThreshold       int32       `cosem:"16"`
	NextThreshold      int32       `cosem:"17"`
	MaxProvision       uint16      `cosem:"18"`
	ProvisionPeriod    int32       `cosem:"19"`
}

// AccountMode is how an account is paid, and what state it is in.
type AccountMode struct {
	Mode   uint8 // 1 credit, 2 prepayment
	Status uint8 // 1 new, 2 active, 3 closed
}

// Currency is the unit of the amounts of an account.
type Currency struct {
	Name  string
	Scale int8
	Unit  uint8 // 0 time, 1 consumption, 2 money
}

// Credit is a view of class 112.
type Credit struct {
	Amount        int32     `cosem:"2"`
	Type          uint8     `cosem:"3"`
	Priority      uint8     `cosem:"4"`
	Warning       int32     `cosem:"5"`
	Limit         int32     `cosem:"6"`
	Configuration Bits      `cosem:"7"`
	Status        uint8     `cosem:"8"`
	Preset        int32     `cosem:"9"`
	Available     int32     `cosem:"10"`
	Period        obis.Time `cosem:"11"`
}

// Charge is a view of class 113.
type Charge struct {
	TotalPaid      int32     `cosem:"2"`
	Type           uint8     `cosem:"3"`
	Priority       uint8     `cosem:"4"`
	Active         Data      `cosem:"5"`
	Passive        Data      `cosem:"6"`
	ActivateAt     obis.Time `cosem:"7"`
	Period         uint32    `cosem:"8"` // seconds
	Configuration  Bits      `cosem:"9"`
	LastCollection obis.Time `cosem:"10"`
	LastAmount     int32     `cosem:"11"`
	Remaining      int32     `cosem:"12"`
	Proportion     uint16    `cosem:"13"`
}

// TokenGateway is a view of class 115.
type TokenGateway struct {
	Token        []byte      `cosem:"2"`
	Time         obis.Time   `cosem:"3"`
	Descriptions []Data      `cosem:"4"`
	Delivery     uint8       `cosem:"5"`
	Status       TokenStatus `cosem:"6"`
}

// TokenStatus is what became of a token.
type TokenStatus struct {
	Code uint8
	Data Bits
}

// Class implements [View].
func (*RegisterActivation) Class() Class { return ClassRegisterActivation }

// Class implements [View].
func (*ScriptTable) Class() Class { return ClassScriptTable }

// Class implements [View].
func (*SpecialDays) Class() Class { return ClassSpecialDaysTable }

// Class implements [View].
func (*SAPAssignment) Class() Class { return ClassSAPAssignment }

// Class implements [View].
func (*ImageTransfer) Class() Class { return ClassImageTransfer }

// Class implements [View].
func (*ActivityCalendar) Class() Class { return ClassActivityCalendar }

// Class implements [View].
func (*RegisterMonitor) Class() Class { return ClassRegisterMonitor }

// Class implements [View].
func (*SingleActionSchedule) Class() Class { return ClassSingleActionSchedule }

// Class implements [View].
func (*PushSetup) Class() Class { return ClassPushSetup }

// Class implements [View].
func (*StatusMapping) Class() Class { return ClassStatusMapping }

// Class implements [View].
func (*SecuritySetup) Class() Class { return ClassSecuritySetup }

// Class implements [View].
func (*DisconnectControl) Class() Class { return ClassDisconnectControl }

// Class implements [View].
func (*Limiter) Class() Class { return ClassLimiter }

// Class implements [View].
func (*MBusClient) Class() Class { return ClassMBusClient }

// Class implements [View].
func (*Account) Class() Class { return ClassAccount }

// Class implements [View].
func (*Credit) Class() Class { return ClassCredit }

// Class implements [View].
func (*Charge) Class() Class { return ClassCharge }

// Class implements [View].
func (*TokenGateway) Class() Class { return ClassTokenGateway }
