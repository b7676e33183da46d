/** Layers with parameters, for networks built by hand. */
export { Dropout } from './dropout.js';
export { Embedding } from './embedding.js';
export { LayerNorm } from './layer_norm.js';
export { Linear } from './linear.js';
export { Module, type ModuleContext } from './module.js';
export { MultiHeadAttention, type MultiHeadAttentionOptions } from './multi_head_attention.js';
export { type ParameterValues, readParameters, writeParameters } from './parameter_values.js';
export { type Layer, Sequential } from './sequential.js';
