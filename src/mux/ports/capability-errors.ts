/** QEMU’s error texts about capabilities negotiation, which differ between its versions. */

/** In a text, the place of the client's own word. */
export const BLANK = '\0';

/** QEMU's answers to faulty requests before negotiation is complete. The defaults are 7.2's. */
export interface CapabilityErrorTexts {
  /** Any other command. Class CommandNotFound. */
  expecting: string;
  /** An unknown name in `enable`. */
  unknownCapability: string;
  /** An argument that is not `enable`. */
  unexpectedArgument: string;
  /** `enable` is no list. */
  enableNotList: string;
  /** An item of `enable` is no string; its index fills the blank. */
  itemNotString: string;
  /** `oob` if it is not offered. */
  oobNotAvailable: string;
}

export function defaultWords(): CapabilityErrorTexts {
  return {
    expecting: "Expecting capabilities negotiation with 'qmp_capabilities'",
    unknownCapability: `Parameter 'null' does not accept value '${BLANK}'`,
    unexpectedArgument: `Parameter '${BLANK}' is unexpected`,
    enableNotList: "Invalid parameter type for 'enable', expected: array",
    itemNotString: `Invalid parameter type for 'enable[${BLANK}]', expected: string`,
    oobNotAvailable: 'Capability oob not available',
  };
}
