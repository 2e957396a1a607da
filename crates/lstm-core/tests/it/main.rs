//! Weights of real, published models, where their fixtures lie beside the checkout.

mod models;
