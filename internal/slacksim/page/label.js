// label.js turns text objects into strings, for labels that can hold no nodes.

import { emoji } from './emoji.js';

/** plainText is the text of a text object with its shortcodes as emoji. */
export const plainText = (o) => String(o?.text || '').replace(/:([a-z0-9_+'-]+):/g, (all, code) => emoji(code) || all);
