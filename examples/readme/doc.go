// Package crm is the README's example: a CRM that opens its customers' PBXs by
// the driver's name in their settings and knows no brand.
package crm
