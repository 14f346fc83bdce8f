// Package iec62056 reads meters by their optical head, current loop or RS-485
// port as IEC 62056-21 has it: modes A to E, the data readout, and programming
// mode.
//
// A reader signs on, the meter identifies itself, and in modes A to D the data
// follow as text, seven bits with even parity on the line:
//
//	/?address! CR LF                                     request
//	/XXX Z ident CR LF                                   identification
//	ACK V Z Y CR LF                                      option select (modes C and E)
//	STX id(value*unit) CR LF … ! CR LF ETX BCC           data readout
//	SOH C D STX data ETX BCC                             command of programming mode
//	STX data ETX BCC   or   STX data EOT BCC             answer, whole or in part
//
// [ParseIdentification], [ParseReadout] and [ParseMessage] read these bytes,
// a [Decoder] turns the data lines into all that they say, [ParseProfiles] the
// load profiles of the VDEW specification. A [Stream] finds readouts in what a
// meter sends. [Session] holds the conversation
// without I/O and clock, [Client] is the loop around it. The customer port of
// DSMR meters is in package p1, SML in package sml, and a simulated meter in
// iec62056sim.
//
// Where the text of a clause could not be consulted this package follows
// published telegrams and the VDEW specification 2.1; doc comments then name no
// clause.
package iec62056
