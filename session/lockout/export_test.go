package lockout

// RaceBuild is for the tests outside the package.
const RaceBuild = raceBuild
